// SPDX-License-Identifier: MIT
/* The first failure of a vCPU, kept for whoever asks. */
#include <stdarg.h>
#include <stdio.h>

#include "vmm_internal.h"

void vmm_fail(struct vmm *vmm, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	pthread_mutex_lock(&vmm->fail_lock);
	if (!atomic_load_explicit(&vmm->failed, memory_order_relaxed)) {
		vsnprintf(vmm->why, sizeof(vmm->why), format, args);
		/* release: pairs with the acquire in vmm_failed(), which reads `why` after it */
		atomic_store_explicit(&vmm->failed, error, memory_order_release);
	}
	pthread_mutex_unlock(&vmm->fail_lock);
	va_end(args);
}

int vmm_failed(struct vmm *vmm, const char **why)
{
	/* acquire: pairs with the release in vmm_fail() */
	int error = atomic_load_explicit(&vmm->failed, memory_order_acquire);

	if (error && why)
		*why = vmm->why;
	return error;
}
