/* The part of Linux's include/uapi/linux/sctp.h that we need, declared here so that the code builds on any
 * Linux, however old its headers. Numbers and layouts are ABI; tests/pure compares them with the system's
 * header. */
#ifndef SCTPIO_UAPI_H
#define SCTPIO_UAPI_H

#include <stdint.h>

#define UAPI_SOL_SCTP 132
#define UAPI_IPPROTO_SCTP 132

enum uapi_option {
    UAPI_PEER_ADDR_PARAMS = 9,
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

/* The argument of PEER_ADDR_PARAMS. All kernels take what it was before Linux 4.19, without the last two. */
struct uapi_paddrparams {
    int32_t assoc_id;
    uint8_t address[128]; /* a sockaddr_storage, 0 for all paths */
    uint32_t hbinterval;
    uint16_t pathmaxrxt;
    uint32_t pathmtu;
    uint32_t sackdelay;
    uint32_t flags;
    uint32_t ipv6_flowlabel;
    uint8_t dscp;
} __attribute__((packed, aligned(4)));

#define UAPI_PADDRPARAMS_LENGTH 152
#define UAPI_SPP_HB_DEMAND 4

/* SO_MEMINFO, since Linux 4.12: places in what it gives (linux/sock_diag.h). */
#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#define UAPI_MEMINFO_SNDBUF 3
#define UAPI_MEMINFO_WMEM_QUEUED 5
#define UAPI_MEMINFO_VARS 9

struct uapi_getaddrs {
    int32_t assoc_id;
    uint32_t addr_num;
    uint8_t addrs[];
};

/* The argument of CONNECTX3 (sctp_getaddrs_old, whose addr_num is a number of bytes). */
struct uapi_connectx {
    int32_t assoc_id;
    int32_t length;
    void *addrs;
};

struct uapi_peeloff {
    int32_t assoc_id;
    int32_t sd;
    uint32_t flags; /* PEELOFF_FLAGS only: plain PEELOFF takes the first 8 bytes */
};

_Static_assert(sizeof(struct uapi_sndrcvinfo) == 32, "sctp_sndrcvinfo");
_Static_assert(sizeof(struct uapi_sndinfo) == 16, "sctp_sndinfo");
_Static_assert(sizeof(struct uapi_rcvinfo) == 28, "sctp_rcvinfo");
_Static_assert(sizeof(struct uapi_prinfo) == 8, "sctp_prinfo");
_Static_assert(sizeof(struct uapi_authinfo) == 2, "sctp_authinfo");
_Static_assert(sizeof(struct uapi_getaddrs) == 8, "sctp_getaddrs");
_Static_assert(sizeof(struct uapi_connectx) == 8 + sizeof(void *), "sctp_getaddrs_old");
_Static_assert(sizeof(struct uapi_paddrparams) == 156, "sctp_paddrparams");
_Static_assert(sizeof(struct uapi_peeloff) == 12, "sctp_peeloff_flags_arg_t");

#endif
