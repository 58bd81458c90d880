// SPDX-License-Identifier: MIT
#include <vmirq/version.h>

#define STRING_(x) #x
#define STRING(x)  STRING_(x)

const char *vmirq_version(void)
{
	return STRING(VMIRQ_VERSION_MAJOR) "." STRING(VMIRQ_VERSION_MINOR) "." STRING(
		VMIRQ_VERSION_PATCH);
}
