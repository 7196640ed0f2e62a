/* SPDX-License-Identifier: Apache-2.0 */
#include "handed.h"

#include <errno.h>

#include "handover/codec.h"

static struct handover_record made;
static uint8_t *bytes;
static size_t length;

static int set_up(void **state)
{
	(void)state;
	handed_record(&made);
	bytes = handed_bytes(&made, &length);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	handover_record_fini(&made);
	free(bytes);
	return 0;
}

static void refused(const char *why)
{
	struct handover_record r;
	const char *problem = NULL;
	size_t n;
	uint8_t *wrong = handed_bytes(&made, &n);

	assert_true(handover_record_read(wrong, n, &r, &problem) < 0);
	assert_string_equal(problem, why);
	free(wrong);
}

static void all_comes_back(void **state)
{
	struct handover_record r;
	const char *problem;
	uint8_t *again;
	size_t n;

	(void)state;
	assert_int_equal(handover_record_read(bytes, length, &r, &problem), 0);
	assert_null(problem);
	/* What was read and written again is the same, and each field was written. */
	again = handed_bytes(&r, &n);
	assert_int_equal(n, length);
	assert_memory_equal(again, bytes, n);
	assert_string_equal(r.build, "1.2.3");
	assert_int_equal(r.n_devices, 2);
	assert_string_equal(r.devices[1].owner, "owner of wg-v6.cali");

	const struct record_peer *p = &r.devices[1].peers[2], *want = &made.devices[1].peers[2];

	assert_memory_equal(p->public_key, want->public_key, KEY_SIZE);
	assert_memory_equal(&p->endpoint, &want->endpoint, sizeof(p->endpoint));
	assert_memory_equal(p->state, want->state, sizeof(*p->state));
	assert_memory_equal(p->allowed, want->allowed, 2 * sizeof(*p->allowed));
	assert_memory_equal(r.devices[0].workers[1].staged, made.devices[0].workers[1].staged,
			    2 * sizeof(struct datapath_staged));
	assert_memory_equal(r.devices[1].workers[0].queue, made.devices[1].workers[0].queue,
			    sizeof(struct wire_xdp_handed));
	assert_null(r.devices[1].workers[1].queue);
	/* A lock, a wg socket and a link for each device, and what the workers have. */
	assert_int_equal(handover_record_descriptors(&r), 2 * (3 + 3 + 4 + 2));
	free(again);
	handover_record_fini(&r);
}

static void each_shorter_one_is_refused(void **state)
{
	struct handover_record r;
	const char *problem;

	(void)state;
	for (size_t n = 0; n < length; n++) {
		/* At the end of the allocation, so that a sanitizer sees a byte too many. */
		uint8_t *part = malloc(n ? n : 1);

		assert_non_null(part);
		memcpy(part, bytes, n);
		problem = NULL;
		assert_true(handover_record_read(part, n, &r, &problem) < 0);
		assert_non_null(problem);
		free(part);
	}
}

static void one_that_is_too_long_is_refused(void **state)
{
	struct handover_record r;
	uint8_t *longer = calloc(1, length + 1);
	const char *problem;

	(void)state;
	memcpy(longer, bytes, length);
	assert_int_equal(handover_record_read(longer, length + 1, &r, &problem), -EPROTO);
	assert_string_equal(problem, "more follows after its end");
	free(longer);
}

static void another_format_is_refused(void **state)
{
	struct handover_record r;
	const char *problem;

	(void)state;
	bytes[8] = RECORD_FORMAT + 1;
	assert_int_equal(handover_record_read(bytes, length, &r, &problem), -EPROTONOSUPPORT);
	bytes[0] = 'x';
	assert_int_equal(handover_record_read(bytes, length, &r, &problem), -EPROTO);
}

static void state_of_another_version_is_left_out(void **state)
{
	struct handover_record r;
	const char *problem;

	(void)state;
	bytes[10] = RECORD_STATE + 1;
	assert_int_equal(handover_record_read(bytes, length, &r, &problem), 0);
	assert_int_equal(r.devices[1].n_peers, 3);
	assert_null(r.devices[1].peers[1].state);
	assert_int_equal(r.devices[1].cookie_secret_birth, 0);
	assert_memory_equal(r.devices[1].peers[1].public_key, made.devices[1].peers[1].public_key,
			    KEY_SIZE);
	assert_int_equal(r.devices[1].peers[1].n_allowed, 2);
	handover_record_fini(&r);
}

static void later_fields_are_skipped(void **state)
{
	uint8_t memory[64];
	struct codec c = {.mode = CODEC_WRITE, .at = memory, .end = memory + sizeof(memory)};
	struct codec_block b;
	uint32_t known = 5, later = 6, next = 7, after = 8;

	(void)state;
	codec_block_begin(&c, &b);
	codec_u32(&c, &known);
	codec_u32(&c, &later);
	codec_block_end(&c, &b);
	codec_u32(&c, &next);
	c = (struct codec){.mode = CODEC_READ, .at = memory, .end = c.at};
	codec_block_begin(&c, &b);
	codec_u32(&c, &after);
	assert_int_equal(after, 5);
	codec_block_end(&c, &b);
	codec_u32(&c, &after);
	assert_int_equal(after, 7);
	assert_false(c.failed);
	codec_u32(&c, &after);
	assert_true(c.failed);
	assert_int_equal(after, 0);
}

static void contradictions_are_refused(void **state)
{
	struct record_device *d = &made.devices[0];

	(void)state;
	d->peers[0].slot = d->n_slots;
	refused("a peer's slot is none");
	d->peers[0].slot = 3;
	d->peers[0].generation++;
	refused("a peer's generation is not that of its slot");
	d->peers[0].generation--;
	d->peers[1].slot = 3;
	d->peers[1].generation = d->peers[0].generation;
	refused("two peers share a key or a slot");
	d->peers[1].slot = 2;
	d->peers[1].generation = 3;
	d->peers[1].state->pending_index = d->peers[0].state->sessions[1].local_index;
	refused("two sessions share an index");
	d->peers[1].state->pending_index = 1002;
	d->peers[2].allowed[0].prefix_len = 33;
	refused("an allowed IP is too long");
	d->peers[2].allowed[0].prefix_len = 32;
	d->peers[2].state->sessions[0].trust = KEYPAIR_WITHDRAWN + 1;
	refused("a session's state is none");
	d->peers[2].state->sessions[0].trust = 0;
	d->workers[1].has_udp4 = false;
	refused("UDP sockets do not fit whether the device is up");
	d->workers[1].has_udp4 = true;
	d->first_queue = 3;
	refused("the workers do not fit the queues");
	d->first_queue = 2;
	d->uplink_open = false;
	refused("a worker has a queue of no uplink");
	d->uplink_open = true;
	memcpy(d->served_name, made.devices[1].served_name, IF_NAMESIZE);
	refused("two devices have one name");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(all_comes_back),
		TEST(each_shorter_one_is_refused),
		TEST(one_that_is_too_long_is_refused),
		TEST(another_format_is_refused),
		TEST(state_of_another_version_is_left_out),
		TEST(later_fields_are_skipped),
		TEST(contradictions_are_refused),
	};

	return sodium_init() < 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
