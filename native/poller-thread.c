#include "poller-thread.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void silence(int bell) {
  uint64_t count;
  /* Fails only when the bell was not rung. */
  if (read(bell, &count, sizeof count) < 0) return;
}

static void *watch(void *data) {
  struct npp_thread_poller *poller = data;
  npp_thread_lock(poller);
  /* The first copy is of an empty set; without memory for a later one the thread goes on with the copy it has. */
  poller->changed = true;
  while (!poller->stopping) {
    if (poller->changed && poller->hooks->copy(poller) == 0) poller->changed = false;
    poller->waiting = true;
    pthread_mutex_unlock(&poller->lock);
    poller->hooks->wait(poller, poller->bell);
    pthread_mutex_lock(&poller->lock);
    poller->waiting = false;
    if (poller->rung) {
      silence(poller->bell);
      poller->rung = false;
    }
    if (poller->ready_count == 0 || poller->stopping) continue;
    poller->taken = 0;
    poller->told = true;
    (void)uv_async_send(poller->handle);
    while (poller->told && !poller->stopping) pthread_cond_wait(&poller->handled, &poller->lock);
  }
  pthread_mutex_unlock(&poller->lock);
  return NULL;
}

static void on_told(uv_async_t *handle) {
  struct npp_thread_poller *poller = uv_handle_get_data((uv_handle_t *)handle);
  npp_thread_lock(poller);
  bool told = poller->told;
  pthread_mutex_unlock(&poller->lock);
  if (told) poller->base.owner.ready(poller->base.owner.data);
}

static int start_thread(struct npp_thread_poller *poller) {
  /* Signals are for the process's own threads to see. */
  sigset_t all, before;
  sigfillset(&all);
  int failed = pthread_sigmask(SIG_SETMASK, &all, &before);
  if (failed != 0) return -failed;
  failed = pthread_create(&poller->thread, NULL, watch, poller);
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  return -failed;
}

static void on_handle_closed(uv_handle_t *handle) {
  struct npp_thread_poller *poller = uv_handle_get_data(handle);
  struct npp_poller_owner owner = poller->base.owner;
  free(handle);
  poller->hooks->release(poller);
  owner.gone(owner.data);
}

static void discard_handle(uv_handle_t *handle) { free(handle); }

int npp_thread_open(struct npp_thread_poller *poller, uv_loop_t *loop) {
  poller->handle = malloc(uv_handle_size(NPP_UV_ASYNC));
  if (poller->handle == NULL) return -ENOMEM;
  poller->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  int failed = poller->bell < 0 ? -errno : 0;
  int limit = poller->base.kind->descriptor_limit;
  if (failed == 0 && limit != 0 && poller->bell >= limit) failed = -ERANGE;
  if (failed == 0) failed = uv_async_init(loop, poller->handle, on_told);
  if (failed < 0) {
    if (poller->bell >= 0) (void)close(poller->bell);
    free(poller->handle);
    return failed;
  }
  uv_handle_set_data((uv_handle_t *)poller->handle, poller);
  uv_unref((uv_handle_t *)poller->handle);
  failed = -pthread_mutex_init(&poller->lock, NULL);
  if (failed == 0) failed = -pthread_cond_init(&poller->handled, NULL);
  if (failed == 0) failed = start_thread(poller);
  if (failed < 0) {
    uv_close((uv_handle_t *)poller->handle, discard_handle);
    (void)close(poller->bell);
  }
  return failed;
}

void npp_thread_lock(struct npp_thread_poller *poller) {
  /* Fails only for a mutex that is none. */
  (void)pthread_mutex_lock(&poller->lock);
}

void npp_thread_unlock(struct npp_thread_poller *poller, bool changed) {
  if (changed) {
    poller->changed = true;
    if (poller->waiting && !poller->rung) {
      uint64_t one = 1;
      /* An eventfd refuses only what would overflow it. */
      poller->rung = write(poller->bell, &one, sizeof one) == (ssize_t)sizeof one;
    }
  }
  (void)pthread_mutex_unlock(&poller->lock);
}

size_t npp_thread_take(struct npp_poller *base, struct npp_ready *into, size_t room) {
  struct npp_thread_poller *poller = (struct npp_thread_poller *)base;
  size_t left = poller->ready_count - poller->taken;
  size_t count = left < room ? left : room;
  if (count > 0) memcpy(into, poller->ready + poller->taken, count * sizeof *into);
  poller->taken += count;
  return count;
}

void npp_thread_done(struct npp_poller *base) {
  struct npp_thread_poller *poller = (struct npp_thread_poller *)base;
  npp_thread_lock(poller);
  poller->told = false;
  (void)pthread_cond_signal(&poller->handled);
  npp_thread_unlock(poller, false);
}

void npp_thread_hold(struct npp_poller *base, bool holds) {
  uv_handle_t *handle = (uv_handle_t *)((struct npp_thread_poller *)base)->handle;
  if (holds) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
}

void npp_thread_close(struct npp_poller *base) {
  struct npp_thread_poller *poller = (struct npp_thread_poller *)base;
  npp_thread_lock(poller);
  poller->stopping = true;
  (void)pthread_cond_signal(&poller->handled);
  npp_thread_unlock(poller, true);
  (void)pthread_join(poller->thread, NULL);
  (void)pthread_cond_destroy(&poller->handled);
  (void)pthread_mutex_destroy(&poller->lock);
  (void)close(poller->bell);
  uv_close((uv_handle_t *)poller->handle, on_handle_closed);
}
