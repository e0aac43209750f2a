/* What 200 bytes to and fro over two POSIX queues cost at least: two processes, epoll, no frames. Prints one line of JSON. echo-floor <seconds> <calls in flight> */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BODY_BYTES = 200, DEPTH = 10, MESSAGE_BYTES = 8192 };

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec time;
  if (clock_gettime(CLOCK_MONOTONIC, &time) != 0) fail("clock_gettime");
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static mqd_t open_queue(const char *end) {
  char name[64];
  struct mq_attr size = {.mq_maxmsg = DEPTH, .mq_msgsize = MESSAGE_BYTES};
  snprintf(name, sizeof name, "/npp-echo-floor-%d-%s", (int)getpid(), end);
  mqd_t queue = mq_open(name, O_RDWR | O_NONBLOCK | O_CREAT | O_EXCL, 0600, &size);
  if (queue == (mqd_t)-1) fail("mq_open");
  /* Both processes have it by then. */
  if (mq_unlink(name) != 0) fail("mq_unlink");
  return queue;
}

static void watch(int set, mqd_t queue, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = queue};
  if (epoll_ctl(set, EPOLL_CTL_MOD, queue, &event) == 0) return;
  if (errno != ENOENT || epoll_ctl(set, EPOLL_CTL_ADD, queue, &event) != 0) fail("epoll_ctl");
}

static void wait_for(int set) {
  struct epoll_event events[2];
  if (epoll_wait(set, events, 2, 100) < 0 && errno != EINTR) fail("epoll_wait");
}

static bool push(mqd_t queue, const char *bytes, size_t length) {
  if (mq_send(queue, bytes, length, 0) == 0) return true;
  if (errno != EAGAIN) fail("mq_send");
  return false;
}

static ssize_t shift(mqd_t queue, char *bytes) {
  ssize_t length = mq_receive(queue, bytes, MESSAGE_BYTES, NULL);
  if (length < 0 && errno != EAGAIN) fail("mq_receive");
  return length;
}

static void serve(mqd_t requests, mqd_t replies) {
  char bytes[MESSAGE_BYTES];
  ssize_t length = -1;
  bool blocked = false;
  int set = epoll_create1(EPOLL_CLOEXEC);
  if (set < 0) fail("epoll_create1");
  watch(set, requests, EPOLLIN);
  for (;;) {
    if (length >= 0 && push(replies, bytes, (size_t)length)) length = -1;
    if (length < 0) length = shift(requests, bytes);
    bool full = length >= 0 && !push(replies, bytes, (size_t)length);
    if (length >= 0 && !full) {
      length = -1;
      continue;
    }
    if (full != blocked) {
      watch(set, requests, full ? 0 : EPOLLIN);
      watch(set, replies, full ? EPOLLOUT : 0);
      blocked = full;
    }
    wait_for(set);
  }
}

int main(int count, char **words) {
  if (count != 3) {
    fprintf(stderr, "usage: echo-floor <seconds> <calls in flight>\n");
    return 64;
  }
  double seconds = atof(words[1]);
  long in_flight = atol(words[2]);
  mqd_t requests = open_queue("q"), replies = open_queue("r");
  pid_t server = fork();
  if (server < 0) fail("fork");
  if (server == 0) serve(requests, replies);
  char bytes[MESSAGE_BYTES], body[BODY_BYTES] = {0};
  unsigned int sent = 0, received = 0, wrong = 0, answer;
  bool blocked = false;
  int set = epoll_create1(EPOLL_CLOEXEC);
  if (set < 0) fail("epoll_create1");
  watch(set, replies, EPOLLIN);
  double begun = now();
  while (now() < begun + seconds) {
    while (shift(replies, bytes) == BODY_BYTES) {
      memcpy(&answer, bytes, sizeof answer);
      if (answer != received++) wrong++;
    }
    bool full = false;
    while (!full && (long)(sent - received) < in_flight) {
      memcpy(body, &sent, sizeof sent);
      full = !push(requests, body, sizeof body);
      if (!full) sent++;
    }
    if (full != blocked) watch(set, requests, full ? EPOLLOUT : 0);
    blocked = full;
    wait_for(set);
  }
  double elapsed = now() - begun;
  struct rusage own, its;
  if (kill(server, SIGTERM) != 0 || waitpid(server, NULL, 0) != server) fail("kill");
  if (getrusage(RUSAGE_SELF, &own) != 0 || getrusage(RUSAGE_CHILDREN, &its) != 0) fail("getrusage");
  double micros = 0;
  const struct timeval times[] = {own.ru_utime, own.ru_stime, its.ru_utime, its.ru_stime};
  for (int time = 0; time < 4; time++) micros += (double)times[time].tv_sec * 1e6 + (double)times[time].tv_usec;
  printf("{\"roundTrips\":%.0f,\"cpuMicros\":%.3f,\"wrong\":%u}\n", received / elapsed, micros / received, wrong);
  return 0;
}
