/* SPDX-License-Identifier: MIT */
/* Local APICs through the public calls: registers, IPIs, timers, steps, saved states. */
#include "check.h"
#include "machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream s = { .at = data, .left = size };
	static struct machine m;

	machine_create(&m, &s, 0);
	while (s.left) {
		guest_step(&m, take8(&s));
		machine_validate(&m);
	}
	machine_check_laws(&m);
	machine_destroy(&m);
	return 0;
}
