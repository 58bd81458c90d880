/* SPDX-License-Identifier: MIT */
/*
 * x86-TSO: each processor's stores go through a buffer of its own, first in, first out, which it sees
 * itself and others do not until it drains, when it likes. A fence, or a locked operation, waits until
 * the buffer is empty. A model defines PROCS, WORDS and, where 2 is not enough, LEN; runs drain(); and
 * keeps in mem[] what takes part in a race with a fence in it.
 *
 * Statements: STORE, FENCE, and LOCKED, which begins an atomic block that uses mem[] directly. LOAD is
 * an expression.
 */
#ifndef LEN
#define LEN 2
#endif

typedef store_buffer {
	byte n;
	byte word[LEN];
	byte value[LEN];
};
store_buffer sb[PROCS];
byte mem[WORDS];

#define HAS(p, i, a) (sb[p].n > (i) && sb[p].word[i] == (a))
#define LOAD(p, a) (HAS(p, 1, a) -> sb[p].value[1] : (HAS(p, 0, a) -> sb[p].value[0] : mem[a]))
#define FENCE(p)   (sb[p].n == 0)
#define LOCKED(p)  FENCE(p)

inline STORE(p, a, v)
{
	d_step {
		sb[p].n < LEN ->
		sb[p].word[sb[p].n] = a;
		sb[p].value[sb[p].n] = v;
		sb[p].n++
	}
}

#define DRAIN(p) d_step {							\
		sb[p].n > 0 ->							\
		mem[sb[p].word[0]] = sb[p].value[0];				\
		sb[p].n--;							\
		sb[p].word[0] = sb[p].word[1];	sb[p].value[0] = sb[p].value[1];	\
		sb[p].word[1] = 0;		sb[p].value[1] = 0;		\
	}

proctype drain(byte p)
{
end:	do
	:: DRAIN(p)
	od
}
