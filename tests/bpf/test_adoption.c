/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new process either adopts the pinned programs and maps, or uses none of them. The tests have
 * their own network and mount namespace and their own bpffs.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "machine.h"
#include "packets.h"
#include "programs/pins.h"
#include "programs/program_id.h"
#include "programs/programs.h"
#include "tunnel.skel.h"

#define PINS "/sys/fs/bpf/podveil/t0/"

static struct programs *p;

static void load(bool adopt, bool superpackets)
{
	const struct programs_params params = {
		.pin_name = "t0", .adopt = adopt, .superpackets = superpackets};

	assert_int_equal(programs_load(&params, &p), 0);
}

static int begin(void **state)
{
	(void)state;
	load(false, true);
	return 0;
}

static int end(void **state)
{
	(void)state;
	programs_free(p, true);
	return access("/sys/fs/bpf/podveil", F_OK) ? 0 : 1;
}

static uint32_t classify_id(void)
{
	return program_id(adoption_fd(&p->adoption, p->skeleton->progs.classify));
}

static uint32_t map_id(int fd)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	return info.id;
}

static int pinned(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), PINS "%s", name);
	return bpf_obj_get(path);
}

static void pin_instead(const char *name, int fd)
{
	char path[128];

	snprintf(path, sizeof(path), PINS "%s", name);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
}

static bool is_empty(const struct bpf_map *map)
{
	uint8_t key[64];

	return bpf_map_get_next_key(bpf_map__fd(map), NULL, key) && errno == ENOENT;
}

static void allow(uint32_t n)
{
	const struct pv_allowed to = {.peer = 3};

	for (uint32_t i = 0; i < n; i++) {
		const struct pv_cidr4 c = {
			.prefix_len = 32,
			.address = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};

		assert_int_equal(programs_allow4(p, &c, &to), 0);
	}
}

/* As after kill -9: what is pinned stays. */
static void restart(void)
{
	programs_free(p, false);
	load(true, true);
}

static void programs_are_adopted_and_maps_are_emptied(void **state)
{
	const struct pv_settings settings = {.fwmark = 7, .workers = 3}, nothing = {0};
	const uint32_t before = classify_id(), zero = 0;
	const struct pv_peer peer = {.generation = 1};
	struct pv_settings now;
	int pin;

	(void)state;
	allow(5);
	assert_int_equal(programs_peer_set(p, 3, &peer), 0);
	assert_int_equal(programs_write_settings(p, &settings), 0);
	programs_counters(p)[0].classified = 42;
	programs_peer_counters(p, 3)->tx_bytes = 42;
	restart();
	assert_int_equal(classify_id(), before);
	assert_int_equal(sum_of_counters(p).classified, 42);
	/* A slot may belong to another peer now. */
	assert_int_equal(programs_peer_counters(p, 3)->tx_bytes, 0);
	assert_true(is_empty(p->skeleton->maps.allowed_ips4));
	assert_true(is_empty(p->skeleton->maps.peers));
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(p->skeleton->maps.settings), &zero, &now),
			 0);
	assert_memory_equal(&now, &nothing, sizeof(now));
	/* The pinned map, which users dump, is the one in use. */
	pin = pinned("peer_counters");
	assert_int_equal(map_id(pin), map_id(p->peer_counters_fd));
	close(pin);
	/* A second restart adopts what was adopted before. */
	restart();
	assert_int_equal(classify_id(), before);
	assert_int_equal(programs_repin(p), 0);
}

static void moved(void *context, uint32_t slot, struct pv_peer_counters *to)
{
	(void)context;
	(void)slot;
	(void)to;
}

static void adoption_after_growth(void **state)
{
	const uint32_t before = classify_id();

	(void)state;
	assert_int_equal(programs_peer_grow(p, 40, moved, NULL), 0);
	restart();
	assert_int_equal(classify_id(), before);
	assert_null(programs_peer_counters(p, 39));
	assert_int_equal(programs_peer_grow(p, 40, moved, NULL), 0);
	assert_non_null(programs_peer_counters(p, 39));
}

static void adoption_only_if_wanted(void **state)
{
	const uint32_t before = classify_id();

	(void)state;
	programs_free(p, false);
	load(false, true);
	assert_int_not_equal(classify_id(), before);
	/* Without superpackets, other programs are used. */
	programs_free(p, false);
	load(true, false);
	assert_int_equal(access(PINS "classify", F_OK), -1);
	assert_int_equal(access(PINS "classify_whole", F_OK), 0);
	programs_free(p, false);
	load(true, true);
}

static bool uses(int program, uint32_t map)
{
	uint32_t maps[16] = {0}, len = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = {.nr_map_ids = 16, .map_ids = (uint64_t)(uintptr_t)maps};

	assert_int_equal(bpf_obj_get_info_by_fd(program, &info, &len), 0);
	for (uint32_t i = 0; i < info.nr_map_ids && i < 16; i++)
		if (maps[i] == map)
			return true;
	return false;
}

static void a_foreign_map_is_not_used(void **state)
{
	static const char *const names[] = {"allowed_ips6", "settings", "counters"};
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const uint32_t before = classify_id();
		int pin = pinned(names[i]), foreign;

		memset(&info, 0, sizeof(info));
		assert_int_equal(bpf_obj_get_info_by_fd(pin, &info, &len), 0);
		LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = info.map_flags);
		foreign = bpf_map_create(info.type, info.name, info.key_size, info.value_size,
					 info.max_entries, &opts);
		assert_true(foreign >= 0);
		/* The foreign map has the same form as ours. */
		if (!strcmp(names[i], "counters"))
			pins_sign_counters(foreign);
		pin_instead(names[i], foreign);
		programs_counters(p)[0].classified = 42;
		restart();
		assert_int_not_equal(classify_id(), before);
		/* New programs continue our counters, but not a foreign map. */
		assert_int_equal(sum_of_counters(p).classified,
				 strcmp(names[i], "counters") ? 42 : 0);
		for (size_t k = 0; k < p->adoption.n; k++)
			assert_false(uses(p->adoption.programs[k].fd, map_id(foreign)));
		close(pin);
		close(foreign);
		/* After another restart, all is adopted again. */
		restart();
	}
}

/* The same program, if another process has loaded it, has other maps. */
static void a_foreign_program_is_not_used(void **state)
{
	const struct programs_params params = {.pin_name = "t2", .superpackets = true};
	const uint32_t before = classify_id();
	struct programs *other;
	uint32_t foreign;
	int fd;

	(void)state;
	assert_int_equal(programs_load(&params, &other), 0);
	fd = adoption_fd(&other->adoption, other->skeleton->progs.classify);
	foreign = program_id(fd);
	pin_instead("classify", fd);
	restart();
	assert_int_not_equal(classify_id(), before);
	assert_int_not_equal(classify_id(), foreign);
	/* A map in place of a program, and a program in place of a map. */
	pin_instead("steer", bpf_map__fd(p->skeleton->maps.settings));
	restart();
	pin_instead("settings", fd);
	restart();
	assert_int_not_equal(classify_id(), before);
	programs_free(other, true);
}

static void another_build_is_not_used(void **state)
{
	const uint32_t before = classify_id(), zero = 0;
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);
	uint8_t value[512];
	int pin = pinned("record"), other;

	(void)state;
	assert_int_equal(bpf_obj_get_info_by_fd(pin, &info, &len), 0);
	assert_true(info.value_size <= sizeof(value));
	assert_int_equal(bpf_map_lookup_elem(pin, &zero, value), 0);
	/* The record cannot be changed. */
	assert_int_not_equal(bpf_map_update_elem(pin, &zero, value, BPF_ANY), 0);
	value[0] ^= 1;
	other = bpf_map_create(BPF_MAP_TYPE_ARRAY, "record", 4, info.value_size, 1, NULL);
	assert_int_equal(bpf_map_update_elem(other, &zero, value, BPF_ANY), 0);
	pin_instead("record", other);
	restart();
	assert_int_not_equal(classify_id(), before);
	close(pin);
	close(other);
}

static void missing_programs_are_loaded(void **state)
{
	static const char *const names[] = {"record", "steer", "xsks"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const uint32_t before = classify_id();
		char path[128];

		snprintf(path, sizeof(path), PINS "%s", names[i]);
		assert_int_equal(unlink(path), 0);
		restart();
		assert_int_not_equal(classify_id(), before);
		assert_int_equal(access(path, F_OK), 0);
	}
}

static void unpinned_maps_are_pinned_again(void **state)
{
	const uint32_t before = classify_id();

	(void)state;
	assert_true(shell("rm -r /sys/fs/bpf/podveil/t0"));
	assert_true(programs_repin(p) > 0);
	assert_int_equal(programs_repin(p), 0);
	restart();
	assert_int_equal(classify_id(), before);
}

static void large_maps_are_not_adopted(void **state)
{
	const uint32_t before = classify_id();

	(void)state;
	allow(5000);
	restart();
	assert_int_not_equal(classify_id(), before);
	assert_true(is_empty(p->skeleton->maps.allowed_ips4));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(programs_are_adopted_and_maps_are_emptied),
		TEST(adoption_after_growth),
		TEST(adoption_only_if_wanted),
		TEST(a_foreign_map_is_not_used),
		TEST(a_foreign_program_is_not_used),
		TEST(another_build_is_not_used),
		TEST(missing_programs_are_loaded),
		TEST(unpinned_maps_are_pinned_again),
		TEST(large_maps_are_not_adopted),
	};
	int failed;

	if (!own_machine("adoption"))
		return 0;
	rcu_register_thread();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rcu_unregister_thread();
	return failed;
}
