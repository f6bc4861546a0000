/* What a stack in user space needs beside the contract of sctpio.h: it lives in this process. Plain
 * declarations only, as there; results are >= 0 or -errno. */

/* Names addresses of this host that are to be bound: those that it did not list as the stack began, too. */
int sctpio_know(const uint8_t *addresses, uint32_t length);

/* Starts the stack on a UDP port (RFC 6951), once; -EADDRINUSE when another process has the port. */
int sctpio_start(uint16_t udp_port);

/* Aborts what is open, lets what is closing end for so many milliseconds, and stops the stack's threads:
 * -EBUSY if associations are left then. */
int sctpio_finish(uint32_t milliseconds);

/* Whether this process is a child of the one that started the stack: nothing works here then. */
int sctpio_forked(void);

/* The association of a one-to-many socket with a peer's address; -ENOENT when there is none. */
int sctpio_find(int fd, const uint8_t *address, uint32_t length, int32_t *association_id);

/* To which UDP port the associations to come send. */
int sctpio_remote_udp_port(int fd, uint16_t port);

/* Tells that a socket's descriptor was given away, or taken back: what is given away may be closed by
 * close(2). */
int sctpio_detached(int fd, int detached);

/* How many associations of this process are up. */
int sctpio_established(void);

/* How often the loop was told of something: for tests of readiness. */
uint64_t sctpio_signals(void);
