import com.sun.nio.sctp.MessageInfo;
import com.sun.nio.sctp.SctpChannel;
import com.sun.nio.sctp.SctpServerChannel;
import com.sun.nio.sctp.SctpStandardSocketOptions;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;

/** Java's com.sun.nio.sctp; see common.py. Its PPID is a signed int, and the number that a packet shows. */
public final class Mirror {
    private static SctpChannel channel(String role, InetSocketAddress address) throws Exception {
        var streams = SctpStandardSocketOptions.InitMaxStreams.create(10, 10);
        SctpChannel channel;
        if (role.equals("connect")) {
            channel = SctpChannel.open();
            channel.setOption(SctpStandardSocketOptions.SCTP_INIT_MAXSTREAMS, streams);
            channel.connect(address);
        } else {
            SctpServerChannel listener = SctpServerChannel.open();
            listener.setOption(SctpStandardSocketOptions.SCTP_INIT_MAXSTREAMS, streams);
            listener.bind(address);
            System.out.println("ready");
            channel = listener.accept();
        }
        return channel;
    }

    public static void main(String[] words) throws Exception {
        SctpChannel channel = channel(words[0], new InetSocketAddress("127.0.0.1", Integer.parseInt(words[1])));
        MessageInfo greeting = MessageInfo.createOutgoing(null, 1).payloadProtocolID(0x01020304);
        channel.send(ByteBuffer.wrap("greeting".getBytes()), greeting);
        ByteBuffer space = ByteBuffer.allocateDirect(1 << 18);
        while (true) {
            MessageInfo info = channel.receive(space, null, null);
            if (info == null || info.bytes() < 0) {
                return;
            }
            if (info.isComplete()) {
                space.flip();
                MessageInfo back = MessageInfo.createOutgoing(null, info.streamNumber());
                channel.send(space, back.payloadProtocolID(info.payloadProtocolID()).unordered(info.isUnordered()));
                space.clear();
            }
        }
    }
}
