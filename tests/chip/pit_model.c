// SPDX-License-Identifier: MIT
#include "pit_model.h"

static bool periodic(const struct pit_model *m)
{
	return m->mode == 2 || m->mode == 3;
}

static bool triggered(const struct pit_model *m)
{
	return m->mode == 1 || m->mode == 5;
}

void pit_model_control(struct pit_model *m, uint8_t mode, bool bcd)
{
	m->element %= m->bcd ? 10000 : 65536;
	m->mode = mode;
	m->bcd = bcd;
	m->out = mode != 0;
	m->null_count = true;
	m->has_count = false;
	m->counting = false;
	m->load = false;
}

void pit_model_half(struct pit_model *m)
{
	if (m->mode != 0)
		return;
	m->out = false;
	m->counting = false;
	m->load = false;
	m->null_count = true;
}

void pit_model_write(struct pit_model *m, uint32_t n)
{
	m->count_register = n;
	m->null_count = true;
	if (m->mode == 0)
		m->out = false;
	if (m->mode == 0 || m->mode == 4 || (periodic(m) && !m->has_count))
		m->load = true;
	m->has_count = true;
}

void pit_model_gate(struct pit_model *m, bool gate)
{
	bool rising = gate && !m->gate;

	m->gate = gate;
	if (rising && (periodic(m) || triggered(m)) && m->has_count)
		m->load = true;
	if (!gate && periodic(m))
		m->out = true;
}

static void load(struct pit_model *m)
{
	m->n = m->count_register;
	m->element = m->mode == 3 ? m->n & ~1u : m->n;
	m->null_count = false;
	m->load = false;
	m->counting = true;
	m->expired = false;
}

static void square_wave(struct pit_model *m)
{
	uint32_t last = m->out && (m->n & 1) ? 0 : 2;

	if (m->element != last) {
		m->element -= 2;
		return;
	}
	m->out = !m->out;
	load(m);
}

static void rate(struct pit_model *m)
{
	if (m->element == 1) {
		m->out = true;
		load(m);
	} else {
		m->element--;
	}
	if (m->element == 1)
		m->out = false;
}

static void count_down(struct pit_model *m)
{
	bool strobe = m->mode >= 4;
	uint32_t states = m->bcd ? 10000 : 65536;

	m->element = (m->element + states - 1) % states;
	if (m->element == 0 && !m->expired) {
		m->expired = true;
		m->out = !strobe;
	} else if (strobe) {
		m->out = true;
	}
}

void pit_model_pulse(struct pit_model *m)
{
	if (m->load) {
		load(m);
		if (m->mode == 1)
			m->out = false;
		else if (m->mode != 0)
			m->out = true;
		return;
	}
	if (!m->counting || (!m->gate && !triggered(m)))
		return;
	if (m->mode == 2)
		rate(m);
	else if (m->mode == 3)
		square_wave(m);
	else
		count_down(m);
}
