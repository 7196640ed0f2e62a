/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floods a device with handshake initiations, as a scanner or an attacker that knows the device's
 * public key: the mac1 is correct, and nothing else.
 *
 *   initiations ADDRESS PORT PUBLIC_KEY_HEX PER_SECOND SECONDS
 *
 * Prints "flooding" when the messages of a tenth of a second have left: then a measurement can
 * start. At the end, prints two numbers per second: messages sent, and answers (responses or
 * cookies) received.
 */
#include <arpa/inet.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "protocol/cookie.h"
#include "protocol/limits.h"

#define MESSAGES 1024
#define BATCH	 32

static struct message_initiation messages[MESSAGES];

static unsigned int receive(int fd)
{
	static uint8_t memory[BATCH][256];
	struct iovec pieces[BATCH];
	struct mmsghdr in[BATCH];
	unsigned int total = 0;

	for (;;) {
		memset(in, 0, sizeof(in));
		for (unsigned int i = 0; i < BATCH; i++) {
			pieces[i] = (struct iovec){memory[i], sizeof(memory[i])};
			in[i].msg_hdr.msg_iov = &pieces[i];
			in[i].msg_hdr.msg_iovlen = 1;
		}

		int n = recvmmsg(fd, in, BATCH, MSG_DONTWAIT, NULL);

		if (n <= 0)
			return total;
		total += (unsigned int)n;
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	uint8_t public_key[KEY_SIZE];
	struct cookie_jar jar;
	struct iovec pieces[BATCH];
	struct mmsghdr out[BATCH];
	uint64_t sent = 0, answered = 0, begin, end;
	unsigned long rate, next = 0;
	bool said = false;
	int fd, size = 16 << 20;

	if (argc != 6 || sodium_init() < 0 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 ||
	    sodium_hex2bin(public_key, KEY_SIZE, argv[3], strlen(argv[3]), NULL, NULL, NULL))
		return 2;
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	rate = strtoul(argv[4], NULL, 10);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return 1;
	cookie_jar_init(&jar, public_key);
	for (unsigned int i = 0; i < MESSAGES; i++) {
		randombytes_buf(&messages[i], sizeof(messages[i]));
		messages[i].type = 1;
		cookie_jar_seal(&jar, &messages[i], sizeof(messages[i]), 1);
	}
	memset(out, 0, sizeof(out));
	begin = clock_now();
	end = begin + strtoul(argv[5], NULL, 10) * NSEC_PER_SEC;
	for (uint64_t now = begin; now < end; now = clock_now()) {
		const uint64_t due = (now - begin) / 1000 * rate / 1000000;
		unsigned int n = due > sent ? BATCH : 0;

		if (due > sent && due - sent < BATCH)
			n = (unsigned int)(due - sent);
		for (unsigned int i = 0; i < n; i++) {
			pieces[i] =
				(struct iovec){&messages[next++ % MESSAGES], sizeof(messages[0])};
			out[i].msg_hdr.msg_iov = &pieces[i];
			out[i].msg_hdr.msg_iovlen = 1;
		}

		const int done = n ? sendmmsg(fd, out, n, 0) : 0;

		sent += done > 0 ? (uint64_t)done : 0;
		answered += receive(fd);
		if (!said && sent >= rate / 10) {
			puts("flooding");
			fflush(stdout);
			said = true;
		}
		if (n < BATCH) {
			const struct timespec nap = {.tv_nsec = 200000};

			nanosleep(&nap, NULL);
		}
	}
	answered += receive(fd);
	printf("%.0f %.0f\n", (double)sent * NSEC_PER_SEC / (double)(end - begin),
	       (double)answered * NSEC_PER_SEC / (double)(end - begin));
	return 0;
}
