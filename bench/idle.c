// Opens keep-alive connections that make one request each and stay idle, says so, and at SIGTERM asks on each of them once more.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

// One source address has 28,232 ports where nobody changed ip_local_port_range.
enum { PER_SOURCE = 20000, REPLY_BYTES = 2048, LIMIT_SECONDS = 10 };
static const char request[] = "GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", body[] = "\r\n\r\nHello World!";

static int open_one(int port, int index) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  if (fd < 0) return -1;
  struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (unsigned)(index / PER_SOURCE))};
  struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct timeval limit = {.tv_sec = LIMIT_SECONDS};
  // Without this, bind takes a port that no other connection of this address may have, whatever its target.
  if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) ||
      bind(fd, (struct sockaddr *)&source, sizeof source) || connect(fd, (struct sockaddr *)&target, sizeof target)) {
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
  }
  return fd;
}

// True when the right answer came, and nothing behind it.
static int ask(int fd) {
  char reply[REPLY_BYTES];
  size_t have = 0, end = sizeof body - 1;
  if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof request - 1)) return 0;
  while (have < sizeof reply) {
    ssize_t got = recv(fd, reply + have, sizeof reply - have, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    have += (size_t)got;
    if (have >= end && memcmp(reply + have - end, body, end) == 0) return memcmp(reply, "HTTP/1.1 200 ", 13) == 0;
  }
  return errno = EMSGSIZE, 0;
}

int main(int argc, char **argv) {
  int port = argc == 3 ? atoi(argv[1]) : 0, count = argc == 3 ? atoi(argv[2]) : 0, answered = 0, ended;
  if (port < 1 || port > 65535 || count < 1) return fprintf(stderr, "usage: idle <port> <connections>\n"), 2;
  int *sockets = calloc((size_t)count, sizeof *sockets);
  if (sockets == NULL) return perror("calloc"), 1;
  // Blocked, so that it waits for sigwait however early it comes.
  sigset_t signals;
  sigemptyset(&signals), sigaddset(&signals, SIGTERM);
  if (sigprocmask(SIG_BLOCK, &signals, NULL)) return perror("sigprocmask"), 1;
  for (int i = 0; i < count; i++) {
    errno = 0;
    if ((sockets[i] = open_one(port, i)) < 0 || !ask(sockets[i]))
      return fprintf(stderr, "connection %d of %d failed: %s\n", i + 1, count, errno ? strerror(errno) : "the server closed it"), 1;
  }
  printf("open %d\n", count), fflush(stdout);
  if (sigwait(&signals, &ended)) return 1;
  for (int i = 0; i < count; i++) answered += ask(sockets[i]);
  printf("answered %d\n", answered);
  return 0;
}
