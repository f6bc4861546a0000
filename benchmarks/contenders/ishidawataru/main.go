// The Go package github.com/ishidawataru/sctp: one association, blocking calls, SCTP_SNDRCV with each message.
// See common.py for the words and the protocol.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/ishidawataru/sctp"
)

const (
	first, _, goOn, done = 1, 2, 3, 4 // the messages of one byte around the work
	nodelay              = 3          // SCTP_NODELAY
	ppid                 = 60
)

var input = bufio.NewScanner(os.Stdin)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(good bool, what string) {
	if !good {
		must(fmt.Errorf("%s", what))
	}
}

type words map[string]string

func (w words) number(name string, otherwise int) int {
	if text, given := w[name]; given {
		value, err := strconv.Atoi(text)
		must(err)
		return value
	}
	return otherwise
}

func cpu() float64 {
	var used syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}

type meter struct {
	cpu   float64
	began time.Time
}

func start() meter { return meter{cpu(), time.Now()} }

func (m meter) stop(messages int, trips []float64) {
	used, seconds := cpu()-m.cpu, time.Since(m.began).Seconds()
	fmt.Printf(`{"messages": %d, "seconds": %.6f, "cpu": %.6f`, messages, seconds, used)
	if trips != nil {
		sort.Float64s(trips)
		fmt.Printf(`, "p50": %.7f, "p99": %.7f`, trips[messages/2], trips[messages*99/100])
	}
	fmt.Println("}")
}

type conn struct{ *sctp.SCTPConn }

func prepare(made *sctp.SCTPConn, run words) conn {
	must(made.SubscribeEvents(sctp.SCTP_EVENT_DATA_IO))
	must(made.SetWriteBuffer(run.number("send_buffer", 1<<20)))
	must(made.SetReadBuffer(run.number("receive_buffer", 4<<20)))
	on := int32(1)
	_, _, err := made.Setsockopt(nodelay, uintptr(unsafe.Pointer(&on)), unsafe.Sizeof(on))
	must(err)
	return conn{made}
}

func (c conn) get(room []byte) (int, uint16) {
	size, info, err := c.SCTPRead(room)
	must(err)
	check(info != nil, "no information came with a message")
	return size, info.Stream
}

func (c conn) put(data []byte, stream uint16) {
	_, err := c.SCTPWrite(data, &sctp.SndRcvInfo{Stream: stream, PPID: ppid})
	must(err)
}

func serve(run words, address *sctp.SCTPAddr, room []byte) {
	listener, err := sctp.ListenSCTP("sctp4", address)
	must(err)
	fmt.Println("ready")
	accepted, err := listener.AcceptSCTP()
	must(err)
	c := prepare(accepted, run)
	size, _ := c.get(room)
	check(size == 1 && room[0] == first, "no greeting")
	count, length := run.number("count", 10000), run.number("size", 64)
	began := start()
	c.put([]byte{goOn}, 0)
	for number := 0; number < count; number++ {
		size, stream := c.get(room)
		check(size == length, "a message has the wrong size")
		if run["work"] == "echo" {
			c.put(room[:size], stream)
		}
	}
	began.stop(count, nil)
	c.put([]byte{done}, 0)
	input.Scan()
	must(c.Close())
	must(listener.Close())
}

func talk(run words, address *sctp.SCTPAddr, room []byte) {
	made, err := sctp.DialSCTP("sctp4", nil, address)
	must(err)
	c := prepare(made, run)
	c.put([]byte{first}, 0)
	size, _ := c.get(room)
	check(size == 1 && room[0] == goOn, "not the answer that was expected")
	count, data := run.number("count", 10000), make([]byte, run.number("size", 64))
	var trips []float64
	began := start()
	for number := 0; number < count; number++ {
		sent := time.Now()
		c.put(data, 0)
		if run["work"] == "echo" {
			size, _ := c.get(room)
			check(size == len(data), "a message has the wrong size")
			trips = append(trips, time.Since(sent).Seconds())
		}
	}
	size, _ = c.get(room)
	check(size == 1 && room[0] == done, "not the answer that was expected")
	began.stop(count, trips)
	input.Scan()
	must(c.Close())
}

func perform(line string) {
	run := words{"address": "127.0.0.1"}
	for _, word := range strings.Fields(line) {
		name, value, _ := strings.Cut(word, "=")
		run[name] = value
	}
	check(run["mode"] != "many" && run.number("associations", 1) == 1, "not done by this contender")
	address := &sctp.SCTPAddr{
		IPAddrs: []net.IPAddr{{IP: net.ParseIP(run["address"])}}, Port: run.number("port", 5000),
	}
	room := make([]byte, 4096)
	if run["role"] == "server" {
		serve(run, address, room)
	} else {
		talk(run, address, room)
	}
}

func main() {
	for input.Scan() {
		perform(input.Text())
		fmt.Println("over")
	}
}
