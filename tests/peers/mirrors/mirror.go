// The Go package github.com/ishidawataru/sctp; see common.py. Its PPID is the number that a packet shows.
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/ishidawataru/sctp"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func associate(role string, address *sctp.SCTPAddr) *sctp.SCTPConn {
	streams := sctp.InitMsg{NumOstreams: 10, MaxInstreams: 10}
	if role == "connect" {
		conn, err := sctp.DialSCTPExt("sctp4", nil, address, streams)
		must(err)
		return conn
	}
	listener, err := sctp.ListenSCTPExt("sctp4", address, streams)
	must(err)
	fmt.Println("ready")
	conn, err := listener.AcceptSCTP()
	must(err)
	return conn
}

func main() {
	port, err := strconv.Atoi(os.Args[2])
	must(err)
	conn := associate(os.Args[1], &sctp.SCTPAddr{IPAddrs: []net.IPAddr{{IP: net.IPv4(127, 0, 0, 1)}}, Port: port})
	must(conn.SubscribeEvents(sctp.SCTP_EVENT_DATA_IO))
	_, err = conn.SCTPWrite([]byte("greeting"), &sctp.SndRcvInfo{Stream: 1, PPID: 0x01020304})
	must(err)
	space := make([]byte, 1<<18)
	for {
		size, info, err := conn.SCTPRead(space)
		if err != nil || size == 0 {
			return
		}
		back := &sctp.SndRcvInfo{Stream: info.Stream, Flags: info.Flags & sctp.SCTP_UNORDERED, PPID: info.PPID}
		_, err = conn.SCTPWrite(space[:size], back)
		must(err)
	}
}
