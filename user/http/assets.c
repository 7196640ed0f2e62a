/* SPDX-License-Identifier: Apache-2.0 */
#include "http/assets.h"

/* The assembler includes the files unchanged. The Makefile lists them as dependencies. */
#define EMBED(name, file)                                                                          \
	__asm__(".pushsection .rodata\n"                                                           \
		".global " #name "\n" #name ":\n"                                                  \
		".incbin \"user/http/page/" file "\"\n"                                            \
		".byte 0\n"                                                                        \
		".popsection\n")

EMBED(asset_index_html, "index.html");
EMBED(asset_page_css, "page.css");
EMBED(asset_page_js, "page.js");
