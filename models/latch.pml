/* SPDX-License-Identifier: MIT */
/*
 * The latch of a route's slot (src/route/table.c: put_copies(), vmirq_route_read()) and of the destination
 * map (src/chip/dest_map.c: vmirq_dest_map_set(), match_consistent()): two copies of what is guarded, here
 * two words each, and a counter whose lowest bit says which copy to read. The writer writes two versions.
 * One reader is a thread; the other a signal handler that comes upon the writer between any two steps.
 *
 * On x86 release and acquire cost nothing and leaving them out is no error, so this is a weaker machine:
 * stores of the writer become visible in any order, but that those to one word keep theirs, that a release
 * store comes after all before it, and that none passes a fence; and a reader loads the words in any
 * order and, without the acquire fence, may have had its second look before.
 *
 * Checked: no reader takes a torn copy, or an older one than it took before; the handler gets through,
 * and by its first attempt.
 *
 * right:
 * wrong: NO_RELEASE the counter's store is relaxed
 * wrong: NO_FENCE   no release fence after it
 * wrong: NO_ACQUIRE no acquire fence before the second look
 * wrong: NO_LOOK    no second look
 * wrong: ONE_COPY   a sequence counter over one copy
 */
#define LEN	   5
#define VERSIONS   2
#define LATCH	   0
#define WORD(c, i) (1 + 2 * (c) + (i))
#define WORDS	   5
#define FENCE	   255 /* in the buffer, between stores */

typedef entry {
	byte word, value;
	bool release;
};
entry buffer[LEN]; /* the writer's, oldest first */
byte n;
byte mem[WORDS];
bool handling; /* the handler runs: its thread, the writer, does not */

inline STORE(where, what, is_release)
{
	d_step {
		n < LEN ->
		buffer[n].word = where;
		buffer[n].value = what;
		buffer[n].release = is_release;
		n++
	}
}

/* A processor sees its own stores. */
#define OWN(i, a)    (n > (i) && buffer[i].word == (a))
#define OWN_LOAD(a)  (OWN(4, a) -> buffer[4].value : (OWN(3, a) -> buffer[3].value :	\
		     (OWN(2, a) -> buffer[2].value : (OWN(1, a) -> buffer[1].value :	\
		     (OWN(0, a) -> buffer[0].value : mem[a])))))
#define LOAD(own, a) ((own) -> OWN_LOAD(a) : mem[a])

#define STOPS(j, i) ((j) < (i) && (buffer[j].word == FENCE || buffer[j].word == buffer[i].word))
#define MAY_SHOW(i) (n > (i) && (i == 0 || (buffer[i].word != FENCE && !buffer[i].release)) &&	\
		     !STOPS(0, i) && !STOPS(1, i) && !STOPS(2, i) && !STOPS(3, i))

/* The i-th of the buffer becomes visible, or a fence has done its work. */
proctype drain(byte i)
{
	byte j;

end:	do
	:: d_step {
		MAY_SHOW(i) ->
		if
		:: buffer[i].word != FENCE -> mem[buffer[i].word] = buffer[i].value
		:: else
		fi;
		n--;
		j = i;
		do
		:: j < n ->
			buffer[j].word = buffer[j + 1].word;
			buffer[j].value = buffer[j + 1].value;
			buffer[j].release = buffer[j + 1].release;
			j++
		:: else -> break
		od;
		buffer[n].word = 0;
		buffer[n].value = 0;
		buffer[n].release = false;
		j = 0
	}
	od
}

inline step_latch(release_it)
{
	latch++;
	STORE(LATCH, latch, release_it)
}

inline release_fence()
{
#ifndef NO_FENCE
	STORE(FENCE, 0, false)
#else
	skip
#endif
}

inline write_copy(c)
{
	STORE(WORD(c, 0), version, false);
	STORE(WORD(c, 1), version, false)
}

#ifdef NO_RELEASE
#define RELEASE false
#else
#define RELEASE true
#endif

proctype writer() provided (!handling)
{
	byte version, latch; /* the counter has one writer */

	do
	:: version < VERSIONS ->
		version++;
#ifdef ONE_COPY
		step_latch(false);
		release_fence();
		write_copy(0);
		step_latch(RELEASE)
#else
		step_latch(RELEASE);
		release_fence();
		write_copy(0);
		step_latch(RELEASE);
		release_fence();
		write_copy(1)
#endif
	:: else -> break
	od
}

inline attempt(own)
{
#ifdef ONE_COPY
	atomic { (LOAD(own, LATCH) & 1) == 0 -> latch = LOAD(own, LATCH) };
	c = 0;
#else
	latch = LOAD(own, LATCH);
	c = latch & 1;
#endif
#ifdef NO_ACQUIRE
	again = LOAD(own, LATCH);
#endif
	if
	:: a = LOAD(own, WORD(c, 0)); b = LOAD(own, WORD(c, 1))
	:: b = LOAD(own, WORD(c, 1)); a = LOAD(own, WORD(c, 0))
	fi;
#ifndef NO_ACQUIRE
	again = LOAD(own, LATCH);
#endif
#ifdef NO_LOOK
	again = latch
#endif
}

proctype reader()
{
	byte latch, again, a, b, c, last, times;

	do
	:: times < 2 ->
		attempt(false);
		if
		:: again == latch ->
			assert(a == b && a >= last);
			last = a;
			times++
		:: else
		fi
	:: else -> break
	od
}

/* Once, at any moment. */
proctype handler()
{
	byte latch, again, a, b, c;

	handling = true;
	attempt(true);
	assert(again == latch && a == b);
	handling = false
}

init {
	atomic {
		run writer();
		run reader();
		run handler();
		run drain(0);
		run drain(1);
		run drain(2);
		run drain(3);
		run drain(4)
	}
}
