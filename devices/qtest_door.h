/* SPDX-License-Identifier: MIT */
/* What the files of qtest share: a QEMU and the one socket to it. */
#ifndef DEVICES_QTEST_DOOR_H
#define DEVICES_QTEST_DOOR_H

#include "qtest.h"

/* What it speaks there. */
enum qtest_door { QTEST_DOOR_QTEST, QTEST_DOOR_QMP };

int qtest_open(struct qtest *q, enum qtest_door door);
/* Send what is queued, and receive a line: without its end, and good until the next call. */
int qtest_line(struct qtest *q, char **line);

#endif
