// SPDX-License-Identifier: MIT
#include "cases.h"

int main(void)
{
	return run_cases(VMM_CPU_KVM);
}
