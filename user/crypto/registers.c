/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/registers.h"

#ifdef __x86_64__

#define ZERO(n) "vpxorq %%zmm" #n ",%%zmm" #n ",%%zmm" #n "\n\t"

void registers_wipe(void)
{
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile("vzeroall" ::: "memory");
	else
		__asm__ volatile("pxor %%xmm0,%%xmm0\n\tpxor %%xmm1,%%xmm1\n\t"
				 "pxor %%xmm2,%%xmm2\n\tpxor %%xmm3,%%xmm3\n\t"
				 "pxor %%xmm4,%%xmm4\n\tpxor %%xmm5,%%xmm5\n\t"
				 "pxor %%xmm6,%%xmm6\n\tpxor %%xmm7,%%xmm7\n\t"
				 "pxor %%xmm8,%%xmm8\n\tpxor %%xmm9,%%xmm9\n\t"
				 "pxor %%xmm10,%%xmm10\n\tpxor %%xmm11,%%xmm11\n\t"
				 "pxor %%xmm12,%%xmm12\n\tpxor %%xmm13,%%xmm13\n\t"
				 "pxor %%xmm14,%%xmm14\n\tpxor %%xmm15,%%xmm15" ::
					 : "memory");
	if (__builtin_cpu_supports("avx512f"))
		__asm__ volatile(ZERO(16) ZERO(17) ZERO(18) ZERO(19) ZERO(20) ZERO(21) ZERO(22)
					 ZERO(23) ZERO(24) ZERO(25) ZERO(26) ZERO(27) ZERO(28)
						 ZERO(29) ZERO(30) ZERO(31)::
							 : "memory");
}

#elif defined(__aarch64__)

#define ZERO(n) "movi v" #n ".16b,#0\n\t"

void registers_wipe(void)
{
	__asm__ volatile(ZERO(0) ZERO(1) ZERO(2) ZERO(3) ZERO(4) ZERO(5) ZERO(6) ZERO(7) ZERO(16)
				 ZERO(17) ZERO(18) ZERO(19) ZERO(20) ZERO(21) ZERO(22) ZERO(23)
					 ZERO(24) ZERO(25) ZERO(26) ZERO(27) ZERO(28) ZERO(29)
						 ZERO(30) ZERO(31)::
							 : "memory");
}

#else

void registers_wipe(void)
{
}

#endif
