/* What a stack in user space needs beside the contract of sctpio.h, because it lives in this process. Plain
 * declarations only, as there; results are >= 0 or -errno.
 *
 * The stack is started once and finished once (a process may start it again after that). Outside of this,
 * every function of either header that can fail gives one of these:
 *   -ENOTCONN         before sctpio_start;
 *   -ESHUTDOWN        from the moment that sctpio_finish is called, also in calls of other threads;
 *   -ENOTRECOVERABLE  in a child after fork: the threads and locks of the stack stayed with the parent.
 * sctpio_close is the exception, and always gives the descriptor back: after sctpio_finish there is no
 * association left to end, and in a child only the child's own copies are closed, which the parent does not
 * notice. sctpio_receive reports -ESHUTDOWN and -EBADF as its state.
 *
 * All functions may be called from any thread at any time. A descriptor that was closed is -EBADF, until the
 * operating system gives its number to a new socket of this stack. That includes one that was given away
 * (sctpio_detached) and closed by close(2), and sctpio_close never closes what is not this stack's. */

/* Makes usrsctp accept addresses of this host that are about to be bound: by itself it has those that the host
 * had when the stack started. */
int sctpio_know(const uint8_t *addresses, uint32_t length);

/* Starts the stack on a UDP port (RFC 6951). -EADDRINUSE when another process has the port, -EALREADY when the
 * stack runs, or when its threads could not be stopped. */
int sctpio_start(uint16_t udp_port);

/* Aborts every association, waits so many milliseconds for those that were closing already, and stops the
 * stack's threads; -EBUSY when some were still closing: then the threads go on. Descriptors become readable
 * once, to wake who waits for them. 0 when there was nothing to do. */
int sctpio_finish(uint32_t milliseconds);

/* Whether this process is a child of the one that started the stack. */
int sctpio_forked(void);

/* The association of a one-to-many socket with the peer at an address; -ENOENT when there is none. */
int sctpio_find(int fd, const uint8_t *address, uint32_t length, int32_t *association_id);

/* Sets the UDP port to which this socket's future associations send. */
int sctpio_remote_udp_port(int fd, uint16_t port);

/* Says that the descriptor was given away, and may be closed by close(2) from now on; or that it is back:
 * -EBADF when it was closed meanwhile. */
int sctpio_detached(int fd, int detached);

/* Writes every packet that is sent or received to a descriptor, as a record of pcap (LINKTYPE_RAW): with an IP
 * header in front that says SCTP, in place of those of IP and UDP. A packet from an address to itself is written
 * once, as it is sent. Each record is one write(2), which may block. -1 ends that. */
int sctpio_capture(int fd);

/* How many associations of this process are established. */
int sctpio_established(void);

/* How often a descriptor was made readable or writable: for tests of readiness. */
uint64_t sctpio_signals(void);
