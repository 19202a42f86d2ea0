/* The limit: logs in, asks for every mail at once, reads until the server closes, looks at nothing.
 *
 *   cc -O2 -o raw_reader raw_reader.c -lssl -lcrypto        (or -DWITHOUT_TLS, and no libraries)
 *   raw_reader PORT LOGIN PASSWORD [tls]                    prints the octets it read
 *
 * Commands and replies move at the same time, so neither side can wait for the other for ever. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#ifndef WITHOUT_TLS
#include <openssl/ssl.h>
static SSL *tls;
#endif

enum { BUFFER = 1 << 20 };
static int connection;

/* > 0 octets, 0 the end, -1 nothing now */
static long take(char *space, size_t room) {
#ifndef WITHOUT_TLS
  if (tls) {
    int got = SSL_read(tls, space, (int)room);
    if (got > 0) return got;
    int why = SSL_get_error(tls, got);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
  }
#endif
  return recv(connection, space, room, 0);
}

static long give(const char *octets, size_t count) {
#ifndef WITHOUT_TLS
  if (tls) {
    int gone = SSL_write(tls, octets, count > 16384 ? 16384 : (int)count);
    return gone > 0 ? gone : 0;
  }
#endif
  long gone = send(connection, octets, count, MSG_NOSIGNAL);
  return gone > 0 ? gone : 0;
}

static void line(char *text, size_t room) {
  size_t have = 0;
  while (have + 1 < room) {
    if (take(text + have, 1) <= 0) exit(3);
    if (text[have++] == '\n') break;
  }
  text[have] = 0;
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  int on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connection = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(connection, (struct sockaddr *)&address, sizeof address)) return 1;
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (argc > 4) {
#ifdef WITHOUT_TLS
    return 2;
#else
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_read_ahead(context, 1);
    tls = SSL_new(context);
    SSL_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_set_fd(tls, connection);
    if (SSL_connect(tls) != 1) return 1;
#endif
  }
  char text[1024];
  line(text, sizeof text);
  int length = snprintf(text, sizeof text, "USER %s\r\nPASS %s\r\nSTAT\r\n", argv[2], argv[3]);
  if (give(text, (size_t)length) != length) return 1;
  line(text, sizeof text);
  line(text, sizeof text);
  line(text, sizeof text);
  int mails = atoi(text + 4);
  char *commands = malloc((size_t)mails * 18 + 16), *next = commands, *buffer = malloc(BUFFER);
  if (!commands || !buffer) return 1;
  for (int number = 1; number <= mails; number++) next += sprintf(next, "RETR %d\r\n", number);
  next += sprintf(next, "QUIT\r\n");
  size_t left = (size_t)(next - commands);
  unsigned long long octets = 0;
  next = commands;
  fcntl(connection, F_SETFL, fcntl(connection, F_GETFL) | O_NONBLOCK);
  for (;;) {
    long got = take(buffer, BUFFER);
    if (got == 0) break;
    if (got > 0) octets += (unsigned long long)got;
    if (left) {
      long gone = give(next, left);
      next += gone;
      left -= (size_t)gone;
      if (gone || got > 0) continue;
    } else if (got > 0) {
      continue;
    }
    struct pollfd wait = {connection, (short)(POLLIN | (left ? POLLOUT : 0)), 0};
    poll(&wait, 1, -1);
  }
  printf("%llu\n", octets);
  return 0;
}
