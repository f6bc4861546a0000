import com.sun.nio.sctp.MessageInfo;
import com.sun.nio.sctp.SctpChannel;
import com.sun.nio.sctp.SctpServerChannel;
import com.sun.nio.sctp.SctpSocketOption;
import com.sun.nio.sctp.SctpStandardSocketOptions;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Java's com.sun.nio.sctp, as its users use it: a thread for each association, whose calls block.
 *
 * One-to-one, flood and echo; see common.py for the words and the protocol.
 */
public final class WithNio {
    private static final byte FIRST = 1, OTHER = 2, GO = 3, DONE = 4;
    private static final int PPID = 60;

    private final Map<String, String> words;
    private final BufferedReader input;
    private long began;
    private double cpu;

    private WithNio(Map<String, String> words, BufferedReader input) {
        this.words = words;
        this.input = input;
    }

    private int number(String name, int otherwise) {
        return words.containsKey(name) ? Integer.parseInt(words.get(name)) : otherwise;
    }

    private boolean echoes() {
        return "echo".equals(words.get("work"));
    }

    private static double used() {
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return system.getProcessCpuTime() / 1e9;
    }

    private void start() {
        began = System.nanoTime();
        cpu = used();
    }

    private void stop(int messages, double[] trips) {
        double used = used() - cpu, seconds = (System.nanoTime() - began) / 1e9;
        StringBuilder line = new StringBuilder(String.format(
            Locale.ROOT, "{\"messages\": %d, \"seconds\": %.6f, \"cpu\": %.6f", messages, seconds, used));
        if (trips != null) {
            Arrays.sort(trips);
            line.append(String.format(
                Locale.ROOT, ", \"p50\": %.7f, \"p99\": %.7f", trips[trips.length / 2], trips[trips.length * 99 / 100]));
        }
        System.out.println(line.append('}'));
    }

    private InetSocketAddress address() {
        return new InetSocketAddress("127.0.0.1", number("port", 5000));
    }

    private <T> void set(SctpChannel channel, SctpSocketOption<T> option, T value) throws IOException {
        channel.setOption(option, value);
    }

    private void settle(SctpChannel channel) throws IOException {
        set(channel, SctpStandardSocketOptions.SO_SNDBUF, number("send_buffer", 1 << 20));
        set(channel, SctpStandardSocketOptions.SO_RCVBUF, number("receive_buffer", 4 << 20));
        set(channel, SctpStandardSocketOptions.SCTP_NODELAY, true);
    }

    private SctpStandardSocketOptions.InitMaxStreams streams() {
        return SctpStandardSocketOptions.InitMaxStreams.create(64, number("streams", 1));
    }

    private static void check(boolean good, String what) {
        if (!good) {
            throw new IllegalStateException(what);
        }
    }

    private static MessageInfo get(SctpChannel channel, ByteBuffer space) throws IOException {
        space.clear();
        MessageInfo info;
        do {
            info = channel.receive(space, null, null);
            check(info != null && info.bytes() >= 0, "the association ended too early");
        } while (!info.isComplete());
        space.flip();
        return info;
    }

    private static void put(SctpChannel channel, ByteBuffer data, int stream) throws IOException {
        channel.send(data, MessageInfo.createOutgoing(null, stream).payloadProtocolID(PPID));
    }

    private static void put(SctpChannel channel, byte word) throws IOException {
        put(channel, ByteBuffer.allocateDirect(1).put(0, word), 0);
    }

    private static void expect(SctpChannel channel, byte word) throws IOException {
        ByteBuffer space = ByteBuffer.allocateDirect(4096);
        get(channel, space);
        check(space.remaining() == 1 && space.get() == word, "not the answer that was expected");
    }

    private void serve() throws Exception {
        SctpServerChannel listener = SctpServerChannel.open();
        listener.setOption(SctpStandardSocketOptions.SCTP_INIT_MAXSTREAMS, streams());
        listener.bind(address(), 4096);
        System.out.println("ready");
        List<SctpChannel> channels = new ArrayList<>();
        SctpChannel leader = null;
        ByteBuffer space = ByteBuffer.allocateDirect(4096);
        for (int number = 0; number < number("associations", 1); number++) {
            SctpChannel channel = listener.accept();
            settle(channel);
            get(channel, space);
            leader = space.get(0) == FIRST ? channel : leader;
            channels.add(channel);
        }
        int count = number("count", 10000);
        start();
        put(leader, GO);
        List<Thread> threads = new ArrayList<>();
        for (SctpChannel channel : channels) {
            Thread thread = new Thread(() -> take(channel, count / channels.size()));
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        stop(count, null);
        put(leader, DONE);
        input.readLine();
        for (SctpChannel channel : channels) {
            abort(channel);
        }
        listener.close();
    }

    private void take(SctpChannel channel, int count) {
        int size = number("size", 64);
        ByteBuffer space = ByteBuffer.allocateDirect(Math.max(4096, size));
        try {
            for (int left = count; left > 0; left--) {
                MessageInfo info = get(channel, space);
                check(space.remaining() == size, "a message has the wrong size");
                if (echoes()) {
                    put(channel, space, info.streamNumber());
                }
            }
        } catch (IOException | IllegalStateException error) {
            error.printStackTrace();
            System.exit(1);
        }
    }

    private void talk() throws IOException {
        List<SctpChannel> channels = new ArrayList<>();
        for (int number = 0; number < number("associations", 1); number++) {
            SctpChannel channel = SctpChannel.open();
            set(channel, SctpStandardSocketOptions.SCTP_INIT_MAXSTREAMS, streams());
            settle(channel);
            channel.connect(address());
            put(channel, number == 0 ? FIRST : OTHER);
            channels.add(channel);
        }
        expect(channels.get(0), GO);
        int count = number("count", 10000), streams = number("streams", 1), size = number("size", 64);
        ByteBuffer data = ByteBuffer.allocateDirect(size), space = ByteBuffer.allocateDirect(Math.max(4096, size));
        double[] trips = echoes() ? new double[count] : null;
        start();
        for (int number = 0; number < count; number++) {
            SctpChannel channel = channels.get(number % channels.size());
            long sent = System.nanoTime();
            put(channel, data.clear(), number / channels.size() % streams);
            if (echoes()) {
                get(channel, space);
                check(space.remaining() == size, "not the answer that was expected");
                trips[number] = (System.nanoTime() - sent) / 1e9;
            }
        }
        expect(channels.get(0), DONE);
        stop(count, trips);
        input.readLine();
        for (SctpChannel channel : channels) {
            abort(channel);
        }
    }

    private void abort(SctpChannel channel) throws IOException {
        set(channel, SctpStandardSocketOptions.SO_LINGER, 0);
        channel.close();
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = input.readLine()) != null;) {
            Map<String, String> words = new HashMap<>();
            for (String word : line.trim().split(" +")) {
                String[] parts = word.split("=", 2);
                words.put(parts[0], parts[1]);
            }
            WithNio run = new WithNio(words, input);
            if ("server".equals(words.get("role"))) {
                run.serve();
            } else {
                run.talk();
            }
            System.out.println("over");
        }
    }
}
