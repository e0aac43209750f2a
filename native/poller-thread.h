/*
 * What the pollers on poll(2) and select(2) share. Neither can wait inside libuv's loop, so a thread waits in their place, on a copy of the
 * set. When something is ready it wakes the loop and sleeps until the batch was dealt with; when the set changes meanwhile, an eventfd calls
 * it back to copy the set anew.
 */
#ifndef NPP_POLLER_THREAD_H
#define NPP_POLLER_THREAD_H

#include <pthread.h>

#include "poller.h"

struct npp_thread_poller;

struct npp_thread_hooks {
  /* Takes over the set, in the poller's thread, the set being locked. Returns 0 or a negative errno. */
  int (*copy)(struct npp_thread_poller *poller);
  /* Waits on the copy, `bell` included, and fills `ready` and `ready_count`, without the bell. */
  void (*wait)(struct npp_thread_poller *poller, int bell);
  /* Frees what the kind has allocated, the poller's own struct included. */
  void (*release)(struct npp_thread_poller *poller);
};

struct npp_thread_poller {
  struct npp_poller base;
  const struct npp_thread_hooks *hooks;
  uv_async_t *handle;
  pthread_t thread;
  /* Guards the set and what follows. */
  pthread_mutex_t lock;
  pthread_cond_t handled;
  int bell;
  bool stopping;
  /* The thread is at its wait, on a copy that is or is not the set as it stands. */
  bool waiting;
  bool changed;
  bool rung;
  /* The loop's turn: `ready` is its, from `taken` on. */
  bool told;
  struct npp_ready *ready;
  size_t ready_count;
  size_t taken;
};

/* Starts the thread. `poller` is filled with zeros but for what the kind put in; on failure the caller releases it. */
int npp_thread_open(struct npp_thread_poller *poller, uv_loop_t *loop);

/* Around every change of the set. */
void npp_thread_lock(struct npp_thread_poller *poller);
void npp_thread_unlock(struct npp_thread_poller *poller, bool changed);

/* These serve as they are in the table of the kind. */
size_t npp_thread_take(struct npp_poller *base, struct npp_ready *into, size_t room);
void npp_thread_done(struct npp_poller *base);
void npp_thread_hold(struct npp_poller *base, bool holds);
void npp_thread_close(struct npp_poller *base);

#endif
