/* Prints the compiler's view of the structs and numbers that the Linux table of sctpio uses.
 *
 *   struct NAME SIZE / field STRUCT PATH OFFSET SIZE / number NAME VALUE / missing NAME
 *
 * test_referee.py compares it with the table. What is younger than the oldest header that we build
 * with stands in #ifdef; only macros can be asked for, so a struct goes by the macro that came
 * with it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <linux/sctp.h>

#define STRUCT(s) printf("struct %s %zu\n", #s, sizeof(struct s))
#define SCALAR(t) printf("struct %s %zu\n", #t, sizeof(t))
#define FIELD(s, m) \
	printf("field %s %s %zu %zu\n", #s, #m, offsetof(struct s, m), sizeof(((struct s *)0)->m))
#define TAIL(s, m) printf("tail %s %s %zu\n", #s, #m, offsetof(struct s, m))
#define NUMBER(n) printf("number %s %lld\n", #n, (long long)(n))
#define MISSING(n) printf("missing %s\n", #n)
static void structs(void)
{
	SCALAR(int);
	SCALAR(unsigned int);
	STRUCT(sctp_assoc_change);
	FIELD(sctp_assoc_change, sac_type);
	FIELD(sctp_assoc_change, sac_flags);
	FIELD(sctp_assoc_change, sac_length);
	FIELD(sctp_assoc_change, sac_state);
	FIELD(sctp_assoc_change, sac_error);
	FIELD(sctp_assoc_change, sac_outbound_streams);
	FIELD(sctp_assoc_change, sac_inbound_streams);
	FIELD(sctp_assoc_change, sac_assoc_id);
	TAIL(sctp_assoc_change, sac_info);

	STRUCT(sctp_paddr_change);
	FIELD(sctp_paddr_change, spc_type);
	FIELD(sctp_paddr_change, spc_flags);
	FIELD(sctp_paddr_change, spc_length);
	FIELD(sctp_paddr_change, spc_aaddr);
	FIELD(sctp_paddr_change, spc_state);
	FIELD(sctp_paddr_change, spc_error);
	FIELD(sctp_paddr_change, spc_assoc_id);

#ifdef SCTP_SEND_FAILED_EVENT
	STRUCT(sctp_send_failed_event);
	FIELD(sctp_send_failed_event, ssf_type);
	FIELD(sctp_send_failed_event, ssf_flags);
	FIELD(sctp_send_failed_event, ssf_length);
	FIELD(sctp_send_failed_event, ssf_error);
	FIELD(sctp_send_failed_event, ssfe_info.snd_sid);
	FIELD(sctp_send_failed_event, ssfe_info.snd_flags);
	FIELD(sctp_send_failed_event, ssfe_info.snd_ppid);
	FIELD(sctp_send_failed_event, ssfe_info.snd_context);
	FIELD(sctp_send_failed_event, ssfe_info.snd_assoc_id);
	FIELD(sctp_send_failed_event, ssf_assoc_id);
	TAIL(sctp_send_failed_event, ssf_data);
#else
	MISSING(sctp_send_failed_event);
#endif

	STRUCT(sctp_send_failed);
	FIELD(sctp_send_failed, ssf_type);
	FIELD(sctp_send_failed, ssf_flags);
	FIELD(sctp_send_failed, ssf_length);
	FIELD(sctp_send_failed, ssf_error);
	FIELD(sctp_send_failed, ssf_info.sinfo_stream);
	FIELD(sctp_send_failed, ssf_info.sinfo_ssn);
	FIELD(sctp_send_failed, ssf_info.sinfo_flags);
	FIELD(sctp_send_failed, ssf_info.sinfo_ppid);
	FIELD(sctp_send_failed, ssf_info.sinfo_context);
	FIELD(sctp_send_failed, ssf_info.sinfo_timetolive);
	FIELD(sctp_send_failed, ssf_info.sinfo_tsn);
	FIELD(sctp_send_failed, ssf_info.sinfo_cumtsn);
	FIELD(sctp_send_failed, ssf_info.sinfo_assoc_id);
	FIELD(sctp_send_failed, ssf_assoc_id);
	TAIL(sctp_send_failed, ssf_data);

	STRUCT(sctp_remote_error);
	FIELD(sctp_remote_error, sre_type);
	FIELD(sctp_remote_error, sre_flags);
	FIELD(sctp_remote_error, sre_length);
	FIELD(sctp_remote_error, sre_error);
	FIELD(sctp_remote_error, sre_assoc_id);
	TAIL(sctp_remote_error, sre_data);

	STRUCT(sctp_shutdown_event);
	FIELD(sctp_shutdown_event, sse_type);
	FIELD(sctp_shutdown_event, sse_flags);
	FIELD(sctp_shutdown_event, sse_length);
	FIELD(sctp_shutdown_event, sse_assoc_id);

	STRUCT(sctp_pdapi_event);
	FIELD(sctp_pdapi_event, pdapi_type);
	FIELD(sctp_pdapi_event, pdapi_flags);
	FIELD(sctp_pdapi_event, pdapi_length);
	FIELD(sctp_pdapi_event, pdapi_indication);
	FIELD(sctp_pdapi_event, pdapi_assoc_id);
	FIELD(sctp_pdapi_event, pdapi_stream);
	FIELD(sctp_pdapi_event, pdapi_seq);

	STRUCT(sctp_adaptation_event);
	FIELD(sctp_adaptation_event, sai_type);
	FIELD(sctp_adaptation_event, sai_flags);
	FIELD(sctp_adaptation_event, sai_length);
	FIELD(sctp_adaptation_event, sai_adaptation_ind);
	FIELD(sctp_adaptation_event, sai_assoc_id);

	STRUCT(sctp_authkey_event);
	FIELD(sctp_authkey_event, auth_type);
	FIELD(sctp_authkey_event, auth_flags);
	FIELD(sctp_authkey_event, auth_length);
	FIELD(sctp_authkey_event, auth_keynumber);
	FIELD(sctp_authkey_event, auth_altkeynumber);
	FIELD(sctp_authkey_event, auth_indication);
	FIELD(sctp_authkey_event, auth_assoc_id);

	STRUCT(sctp_sender_dry_event);
	FIELD(sctp_sender_dry_event, sender_dry_type);
	FIELD(sctp_sender_dry_event, sender_dry_flags);
	FIELD(sctp_sender_dry_event, sender_dry_length);
	FIELD(sctp_sender_dry_event, sender_dry_assoc_id);

	STRUCT(sctp_stream_reset_event);
	FIELD(sctp_stream_reset_event, strreset_type);
	FIELD(sctp_stream_reset_event, strreset_flags);
	FIELD(sctp_stream_reset_event, strreset_length);
	FIELD(sctp_stream_reset_event, strreset_assoc_id);
	TAIL(sctp_stream_reset_event, strreset_stream_list);

	STRUCT(sctp_assoc_reset_event);
	FIELD(sctp_assoc_reset_event, assocreset_type);
	FIELD(sctp_assoc_reset_event, assocreset_flags);
	FIELD(sctp_assoc_reset_event, assocreset_length);
	FIELD(sctp_assoc_reset_event, assocreset_assoc_id);
	FIELD(sctp_assoc_reset_event, assocreset_local_tsn);
	FIELD(sctp_assoc_reset_event, assocreset_remote_tsn);

	STRUCT(sctp_stream_change_event);
	FIELD(sctp_stream_change_event, strchange_type);
	FIELD(sctp_stream_change_event, strchange_flags);
	FIELD(sctp_stream_change_event, strchange_length);
	FIELD(sctp_stream_change_event, strchange_assoc_id);
	FIELD(sctp_stream_change_event, strchange_instrms);
	FIELD(sctp_stream_change_event, strchange_outstrms);

	STRUCT(sctp_rtoinfo);
	FIELD(sctp_rtoinfo, srto_assoc_id);
	FIELD(sctp_rtoinfo, srto_initial);
	FIELD(sctp_rtoinfo, srto_max);
	FIELD(sctp_rtoinfo, srto_min);

	STRUCT(sctp_assocparams);
	FIELD(sctp_assocparams, sasoc_assoc_id);
	FIELD(sctp_assocparams, sasoc_asocmaxrxt);
	FIELD(sctp_assocparams, sasoc_number_peer_destinations);
	FIELD(sctp_assocparams, sasoc_peer_rwnd);
	FIELD(sctp_assocparams, sasoc_local_rwnd);
	FIELD(sctp_assocparams, sasoc_cookie_life);

	STRUCT(sctp_initmsg);
	FIELD(sctp_initmsg, sinit_num_ostreams);
	FIELD(sctp_initmsg, sinit_max_instreams);
	FIELD(sctp_initmsg, sinit_max_attempts);
	FIELD(sctp_initmsg, sinit_max_init_timeo);

	STRUCT(sctp_setadaptation);
	FIELD(sctp_setadaptation, ssb_adaptation_ind);

	STRUCT(sctp_paddrparams);
	FIELD(sctp_paddrparams, spp_assoc_id);
	FIELD(sctp_paddrparams, spp_address);
	FIELD(sctp_paddrparams, spp_hbinterval);
	FIELD(sctp_paddrparams, spp_pathmaxrxt);
	FIELD(sctp_paddrparams, spp_pathmtu);
	FIELD(sctp_paddrparams, spp_sackdelay);
	FIELD(sctp_paddrparams, spp_flags);
	FIELD(sctp_paddrparams, spp_ipv6_flowlabel);
	FIELD(sctp_paddrparams, spp_dscp);

	STRUCT(sctp_sndrcvinfo);
	FIELD(sctp_sndrcvinfo, sinfo_stream);
	FIELD(sctp_sndrcvinfo, sinfo_ssn);
	FIELD(sctp_sndrcvinfo, sinfo_flags);
	FIELD(sctp_sndrcvinfo, sinfo_ppid);
	FIELD(sctp_sndrcvinfo, sinfo_context);
	FIELD(sctp_sndrcvinfo, sinfo_timetolive);
	FIELD(sctp_sndrcvinfo, sinfo_tsn);
	FIELD(sctp_sndrcvinfo, sinfo_cumtsn);
	FIELD(sctp_sndrcvinfo, sinfo_assoc_id);

	STRUCT(sctp_assoc_value);
	FIELD(sctp_assoc_value, assoc_id);
	FIELD(sctp_assoc_value, assoc_value);

	STRUCT(sctp_status);
	FIELD(sctp_status, sstat_assoc_id);
	FIELD(sctp_status, sstat_state);
	FIELD(sctp_status, sstat_rwnd);
	FIELD(sctp_status, sstat_unackdata);
	FIELD(sctp_status, sstat_penddata);
	FIELD(sctp_status, sstat_instrms);
	FIELD(sctp_status, sstat_outstrms);
	FIELD(sctp_status, sstat_fragmentation_point);
	FIELD(sctp_status, sstat_primary.spinfo_assoc_id);
	FIELD(sctp_status, sstat_primary.spinfo_address);
	FIELD(sctp_status, sstat_primary.spinfo_state);
	FIELD(sctp_status, sstat_primary.spinfo_cwnd);
	FIELD(sctp_status, sstat_primary.spinfo_srtt);
	FIELD(sctp_status, sstat_primary.spinfo_rto);
	FIELD(sctp_status, sstat_primary.spinfo_mtu);

	STRUCT(sctp_paddrinfo);
	FIELD(sctp_paddrinfo, spinfo_assoc_id);
	FIELD(sctp_paddrinfo, spinfo_address);
	FIELD(sctp_paddrinfo, spinfo_state);
	FIELD(sctp_paddrinfo, spinfo_cwnd);
	FIELD(sctp_paddrinfo, spinfo_srtt);
	FIELD(sctp_paddrinfo, spinfo_rto);
	FIELD(sctp_paddrinfo, spinfo_mtu);

	STRUCT(sctp_setpeerprim);
	FIELD(sctp_setpeerprim, sspp_assoc_id);
	FIELD(sctp_setpeerprim, sspp_addr);

	STRUCT(sctp_prim);
	FIELD(sctp_prim, ssp_assoc_id);
	FIELD(sctp_prim, ssp_addr);

#ifdef SCTP_PEER_ADDR_THLDS_V2
	STRUCT(sctp_paddrthlds_v2);
	FIELD(sctp_paddrthlds_v2, spt_assoc_id);
	FIELD(sctp_paddrthlds_v2, spt_address);
	FIELD(sctp_paddrthlds_v2, spt_pathmaxrxt);
	FIELD(sctp_paddrthlds_v2, spt_pathpfthld);
	FIELD(sctp_paddrthlds_v2, spt_pathcpthld);
#else
	MISSING(sctp_paddrthlds_v2);
#endif

	STRUCT(sctp_sack_info);
	FIELD(sctp_sack_info, sack_assoc_id);
	FIELD(sctp_sack_info, sack_delay);
	FIELD(sctp_sack_info, sack_freq);

	STRUCT(sctp_assoc_stats);
	FIELD(sctp_assoc_stats, sas_assoc_id);
	FIELD(sctp_assoc_stats, sas_obs_rto_ipaddr);
	FIELD(sctp_assoc_stats, sas_maxrto);
	FIELD(sctp_assoc_stats, sas_isacks);
	FIELD(sctp_assoc_stats, sas_osacks);
	FIELD(sctp_assoc_stats, sas_opackets);
	FIELD(sctp_assoc_stats, sas_ipackets);
	FIELD(sctp_assoc_stats, sas_rtxchunks);
	FIELD(sctp_assoc_stats, sas_outofseqtsns);
	FIELD(sctp_assoc_stats, sas_idupchunks);
	FIELD(sctp_assoc_stats, sas_gapcnt);
	FIELD(sctp_assoc_stats, sas_ouodchunks);
	FIELD(sctp_assoc_stats, sas_iuodchunks);
	FIELD(sctp_assoc_stats, sas_oodchunks);
	FIELD(sctp_assoc_stats, sas_iodchunks);
	FIELD(sctp_assoc_stats, sas_octrlchunks);
	FIELD(sctp_assoc_stats, sas_ictrlchunks);
}

static void macros(void)
{
#ifdef SCTP_ASSOC_CHANGE
	NUMBER(SCTP_ASSOC_CHANGE);
#else
	MISSING(SCTP_ASSOC_CHANGE);
#endif
#ifdef SCTP_PEER_ADDR_CHANGE
	NUMBER(SCTP_PEER_ADDR_CHANGE);
#else
	MISSING(SCTP_PEER_ADDR_CHANGE);
#endif
#ifdef SCTP_SEND_FAILED_EVENT
	NUMBER(SCTP_SEND_FAILED_EVENT);
#else
	MISSING(SCTP_SEND_FAILED_EVENT);
#endif
#ifdef SCTP_SEND_FAILED
	NUMBER(SCTP_SEND_FAILED);
#else
	MISSING(SCTP_SEND_FAILED);
#endif
#ifdef SCTP_REMOTE_ERROR
	NUMBER(SCTP_REMOTE_ERROR);
#else
	MISSING(SCTP_REMOTE_ERROR);
#endif
#ifdef SCTP_SHUTDOWN_EVENT
	NUMBER(SCTP_SHUTDOWN_EVENT);
#else
	MISSING(SCTP_SHUTDOWN_EVENT);
#endif
#ifdef SCTP_PARTIAL_DELIVERY_EVENT
	NUMBER(SCTP_PARTIAL_DELIVERY_EVENT);
#else
	MISSING(SCTP_PARTIAL_DELIVERY_EVENT);
#endif
#ifdef SCTP_ADAPTATION_INDICATION
	NUMBER(SCTP_ADAPTATION_INDICATION);
#else
	MISSING(SCTP_ADAPTATION_INDICATION);
#endif
#ifdef SCTP_AUTHENTICATION_INDICATION /* its macro has another name */
	NUMBER(SCTP_AUTHENTICATION_EVENT);
#else
	MISSING(SCTP_AUTHENTICATION_EVENT);
#endif
#ifdef SCTP_SENDER_DRY_EVENT
	NUMBER(SCTP_SENDER_DRY_EVENT);
#else
	MISSING(SCTP_SENDER_DRY_EVENT);
#endif
#ifdef SCTP_STREAM_RESET_EVENT
	NUMBER(SCTP_STREAM_RESET_EVENT);
#else
	MISSING(SCTP_STREAM_RESET_EVENT);
#endif
#ifdef SCTP_ASSOC_RESET_EVENT
	NUMBER(SCTP_ASSOC_RESET_EVENT);
#else
	MISSING(SCTP_ASSOC_RESET_EVENT);
#endif
#ifdef SCTP_STREAM_CHANGE_EVENT
	NUMBER(SCTP_STREAM_CHANGE_EVENT);
#else
	MISSING(SCTP_STREAM_CHANGE_EVENT);
#endif
#ifdef SCTP_RTOINFO
	NUMBER(SCTP_RTOINFO);
#else
	MISSING(SCTP_RTOINFO);
#endif
#ifdef SCTP_ASSOCINFO
	NUMBER(SCTP_ASSOCINFO);
#else
	MISSING(SCTP_ASSOCINFO);
#endif
#ifdef SCTP_INITMSG
	NUMBER(SCTP_INITMSG);
#else
	MISSING(SCTP_INITMSG);
#endif
#ifdef SCTP_NODELAY
	NUMBER(SCTP_NODELAY);
#else
	MISSING(SCTP_NODELAY);
#endif
#ifdef SCTP_AUTOCLOSE
	NUMBER(SCTP_AUTOCLOSE);
#else
	MISSING(SCTP_AUTOCLOSE);
#endif
#ifdef SCTP_ADAPTATION_LAYER
	NUMBER(SCTP_ADAPTATION_LAYER);
#else
	MISSING(SCTP_ADAPTATION_LAYER);
#endif
#ifdef SCTP_PEER_ADDR_PARAMS
	NUMBER(SCTP_PEER_ADDR_PARAMS);
#else
	MISSING(SCTP_PEER_ADDR_PARAMS);
#endif
#ifdef SCTP_DEFAULT_SEND_PARAM
	NUMBER(SCTP_DEFAULT_SEND_PARAM);
#else
	MISSING(SCTP_DEFAULT_SEND_PARAM);
#endif
#ifdef SCTP_MAXSEG
	NUMBER(SCTP_MAXSEG);
#else
	MISSING(SCTP_MAXSEG);
#endif
#ifdef SCTP_STATUS
	NUMBER(SCTP_STATUS);
#else
	MISSING(SCTP_STATUS);
#endif
#ifdef SCTP_GET_PEER_ADDR_INFO
	NUMBER(SCTP_GET_PEER_ADDR_INFO);
#else
	MISSING(SCTP_GET_PEER_ADDR_INFO);
#endif
#ifdef SCTP_SET_PEER_PRIMARY_ADDR
	NUMBER(SCTP_SET_PEER_PRIMARY_ADDR);
#else
	MISSING(SCTP_SET_PEER_PRIMARY_ADDR);
#endif
#ifdef SCTP_PRIMARY_ADDR
	NUMBER(SCTP_PRIMARY_ADDR);
#else
	MISSING(SCTP_PRIMARY_ADDR);
#endif
	NUMBER(SO_REUSEPORT);
#ifdef SCTP_PEER_ADDR_THLDS_V2
	NUMBER(SCTP_PEER_ADDR_THLDS_V2);
#else
	MISSING(SCTP_PEER_ADDR_THLDS_V2);
#endif
#ifdef SCTP_ASCONF_SUPPORTED
	NUMBER(SCTP_ASCONF_SUPPORTED);
#else
	MISSING(SCTP_ASCONF_SUPPORTED);
#endif
#ifdef SCTP_AUTH_SUPPORTED
	NUMBER(SCTP_AUTH_SUPPORTED);
#else
	MISSING(SCTP_AUTH_SUPPORTED);
#endif
#ifdef SCTP_EXPOSE_POTENTIALLY_FAILED_STATE
	NUMBER(SCTP_EXPOSE_POTENTIALLY_FAILED_STATE);
#else
	MISSING(SCTP_EXPOSE_POTENTIALLY_FAILED_STATE);
#endif
#ifdef SCTP_DELAYED_SACK
	NUMBER(SCTP_DELAYED_SACK);
#else
	MISSING(SCTP_DELAYED_SACK);
#endif
#ifdef SCTP_GET_ASSOC_STATS
	NUMBER(SCTP_GET_ASSOC_STATS);
#else
	MISSING(SCTP_GET_ASSOC_STATS);
#endif
#ifdef SO_SNDBUF
	NUMBER(SO_SNDBUF);
#else
	MISSING(SO_SNDBUF);
#endif
#ifdef SO_RCVBUF
	NUMBER(SO_RCVBUF);
#else
	MISSING(SO_RCVBUF);
#endif
#ifdef SCTP_PR_SCTP_TTL
	NUMBER(SCTP_PR_SCTP_TTL);
#else
	MISSING(SCTP_PR_SCTP_TTL);
#endif
#ifdef SCTP_PR_SCTP_RTX
	NUMBER(SCTP_PR_SCTP_RTX);
#else
	MISSING(SCTP_PR_SCTP_RTX);
#endif
#ifdef SCTP_PR_SCTP_PRIO
	NUMBER(SCTP_PR_SCTP_PRIO);
#else
	MISSING(SCTP_PR_SCTP_PRIO);
#endif
#ifdef SCTP_STREAM_RESET_INCOMING_SSN
	NUMBER(SCTP_STREAM_RESET_INCOMING_SSN);
#else
	MISSING(SCTP_STREAM_RESET_INCOMING_SSN);
#endif
#ifdef SCTP_STREAM_RESET_OUTGOING_SSN
	NUMBER(SCTP_STREAM_RESET_OUTGOING_SSN);
#else
	MISSING(SCTP_STREAM_RESET_OUTGOING_SSN);
#endif
#ifdef SCTP_STREAM_RESET_DENIED
	NUMBER(SCTP_STREAM_RESET_DENIED);
#else
	MISSING(SCTP_STREAM_RESET_DENIED);
#endif
#ifdef SCTP_STREAM_RESET_FAILED
	NUMBER(SCTP_STREAM_RESET_FAILED);
#else
	MISSING(SCTP_STREAM_RESET_FAILED);
#endif
#ifdef SCTP_ASSOC_RESET_DENIED
	NUMBER(SCTP_ASSOC_RESET_DENIED);
#else
	MISSING(SCTP_ASSOC_RESET_DENIED);
#endif
#ifdef SCTP_ASSOC_RESET_FAILED
	NUMBER(SCTP_ASSOC_RESET_FAILED);
#else
	MISSING(SCTP_ASSOC_RESET_FAILED);
#endif
#ifdef SCTP_STREAM_CHANGE_DENIED
	NUMBER(SCTP_STREAM_CHANGE_DENIED);
#else
	MISSING(SCTP_STREAM_CHANGE_DENIED);
#endif
#ifdef SCTP_STREAM_CHANGE_FAILED
	NUMBER(SCTP_STREAM_CHANGE_FAILED);
#else
	MISSING(SCTP_STREAM_CHANGE_FAILED);
#endif
#ifdef SCTP_ADDR_PF
	NUMBER(SCTP_ADDR_POTENTIALLY_FAILED);
#else
	MISSING(SCTP_ADDR_POTENTIALLY_FAILED);
#endif
#ifdef SCTP_POTENTIALLY_FAILED
	NUMBER(SCTP_POTENTIALLY_FAILED);
#else
	MISSING(SCTP_POTENTIALLY_FAILED);
#endif
#ifdef SCTP_AUTH_NEWKEY
	NUMBER(SCTP_AUTH_NO_AUTH);
#else
	MISSING(SCTP_AUTH_NO_AUTH);
#endif
}

static void enumerators(void)
{
	NUMBER(AF_INET);
	NUMBER(AF_INET6);
	NUMBER(SOL_SOCKET);
	NUMBER(MSG_CTRUNC);
	NUMBER(MSG_EOR);
	NUMBER(MSG_NOTIFICATION);
	NUMBER(SCTP_UNORDERED);
	NUMBER(SCTP_ADDR_OVER);
	NUMBER(SCTP_ABORT);
	NUMBER(SCTP_SACK_IMMEDIATELY);
	NUMBER(SCTP_EOF);
	NUMBER(SCTP_DATA_SENT);
	NUMBER(SPP_HB_ENABLE);
	NUMBER(SPP_HB_DISABLE);
	NUMBER(SPP_HB_DEMAND);
	NUMBER(SPP_PMTUD_ENABLE);
	NUMBER(SPP_PMTUD_DISABLE);
	NUMBER(SPP_SACKDELAY_ENABLE);
	NUMBER(SPP_SACKDELAY_DISABLE);
	NUMBER(SPP_HB_TIME_IS_ZERO);
	NUMBER(SPP_IPV6_FLOWLABEL);
	NUMBER(SPP_DSCP);
	NUMBER(SCTP_COMM_UP);
	NUMBER(SCTP_COMM_LOST);
	NUMBER(SCTP_RESTART);
	NUMBER(SCTP_SHUTDOWN_COMP);
	NUMBER(SCTP_CANT_STR_ASSOC);
	NUMBER(SCTP_ADDR_AVAILABLE);
	NUMBER(SCTP_ADDR_UNREACHABLE);
	NUMBER(SCTP_ADDR_REMOVED);
	NUMBER(SCTP_ADDR_ADDED);
	NUMBER(SCTP_ADDR_MADE_PRIM);
	NUMBER(SCTP_ADDR_CONFIRMED);
	NUMBER(SCTP_FAILED_THRESHOLD);
	NUMBER(SCTP_RECEIVED_SACK);
	NUMBER(SCTP_HEARTBEAT_SUCCESS);
	NUMBER(SCTP_RESPONSE_TO_USER_REQ);
	NUMBER(SCTP_INTERNAL_ERROR);
	NUMBER(SCTP_SHUTDOWN_GUARD_EXPIRES);
	NUMBER(SCTP_PEER_FAULTY);
	NUMBER(SCTP_PARTIAL_DELIVERY_ABORTED);
	NUMBER(SCTP_AUTH_NEW_KEY);
	NUMBER(SCTP_AUTH_FREE_KEY);
	NUMBER(SCTP_EMPTY);
	NUMBER(SCTP_CLOSED);
	NUMBER(SCTP_COOKIE_WAIT);
	NUMBER(SCTP_COOKIE_ECHOED);
	NUMBER(SCTP_ESTABLISHED);
	NUMBER(SCTP_SHUTDOWN_PENDING);
	NUMBER(SCTP_SHUTDOWN_SENT);
	NUMBER(SCTP_SHUTDOWN_RECEIVED);
	NUMBER(SCTP_SHUTDOWN_ACK_SENT);
	NUMBER(SCTP_INACTIVE);
	NUMBER(SCTP_ACTIVE);
	NUMBER(SCTP_UNCONFIRMED);
	NUMBER(SCTP_UNKNOWN);
}

int main(void)
{
	structs();
	macros();
	enumerators();
	return 0;
}
