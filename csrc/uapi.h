/* What the code needs of Linux's include/uapi/linux/sctp.h, declared here so that it builds wherever a C
 * library for Linux is, however old its headers. Numbers and layouts are ABI; tests/pure compares them
 * with the system's header. */
#ifndef SCTPIO_UAPI_H
#define SCTPIO_UAPI_H

#include <stdint.h>

#define UAPI_SOL_SCTP 132
#define UAPI_IPPROTO_SCTP 132

enum uapi_option {
    UAPI_SOCKOPT_BINDX_ADD = 100,
    UAPI_SOCKOPT_BINDX_REM = 101,
    UAPI_SOCKOPT_PEELOFF = 102,
    UAPI_GET_PEER_ADDRS = 108,
    UAPI_GET_LOCAL_ADDRS = 109,
    UAPI_SOCKOPT_CONNECTX3 = 111,
    UAPI_SOCKOPT_PEELOFF_FLAGS = 122,
};

enum uapi_cmsg { UAPI_SNDRCV = 1, UAPI_SNDINFO = 2, UAPI_RCVINFO = 3, UAPI_PRINFO = 5, UAPI_AUTHINFO = 6 };

enum uapi_msg_flag { UAPI_MSG_NOTIFICATION = 0x8000 };

struct uapi_sndrcvinfo {
    uint16_t stream;
    uint16_t ssn;
    uint16_t flags;
    uint32_t ppid;
    uint32_t context;
    uint32_t timetolive;
    uint32_t tsn;
    uint32_t cumtsn;
    int32_t assoc_id;
};

struct uapi_sndinfo {
    uint16_t sid;
    uint16_t flags;
    uint32_t ppid;
    uint32_t context;
    int32_t assoc_id;
};

struct uapi_rcvinfo {
    uint16_t sid;
    uint16_t ssn;
    uint16_t flags;
    uint32_t ppid;
    uint32_t tsn;
    uint32_t cumtsn;
    uint32_t context;
    int32_t assoc_id;
};

struct uapi_prinfo {
    uint16_t policy;
    uint32_t value;
};

struct uapi_authinfo {
    uint16_t keynumber;
};

struct uapi_getaddrs {
    int32_t assoc_id;
    uint32_t addr_num;
    uint8_t addrs[];
};

/* The argument of CONNECTX3 (sctp_getaddrs_old): addr_num is in bytes there. */
struct uapi_connectx {
    int32_t assoc_id;
    int32_t length;
    void *addrs;
};

struct uapi_peeloff {
    int32_t assoc_id;
    int32_t sd;
    uint32_t flags; /* PEELOFF_FLAGS only; plain PEELOFF takes the first 8 bytes */
};

_Static_assert(sizeof(struct uapi_sndrcvinfo) == 32, "sctp_sndrcvinfo");
_Static_assert(sizeof(struct uapi_sndinfo) == 16, "sctp_sndinfo");
_Static_assert(sizeof(struct uapi_rcvinfo) == 28, "sctp_rcvinfo");
_Static_assert(sizeof(struct uapi_prinfo) == 8, "sctp_prinfo");
_Static_assert(sizeof(struct uapi_authinfo) == 2, "sctp_authinfo");
_Static_assert(sizeof(struct uapi_getaddrs) == 8, "sctp_getaddrs");
_Static_assert(sizeof(struct uapi_connectx) == 8 + sizeof(void *), "sctp_getaddrs_old");
_Static_assert(sizeof(struct uapi_peeloff) == 12, "sctp_peeloff_flags_arg_t");

#endif
