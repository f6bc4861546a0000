//! Rust's oxirush-sctp on Tokio; see common.py. Its PPID is the number that a packet shows.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use oxirush_sctp::{ConnectedSocket, InitParams, NotificationOrData, SendInfo, SendOptions, Socket, SocketToAssociation};

async fn associate(role: &str, port: u16) -> Result<ConnectedSocket, Box<dyn Error>> {
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
    let socket = Socket::new_v4(SocketToAssociation::OneToOne)?;
    socket.options().set_init_params(InitParams::streams(10, 10))?;
    socket.options().set_send_buffer_size(1 << 20)?;
    socket.options().set_recv_buffer_size(1 << 20)?;
    if role == "connect" {
        return Ok(socket.connect(address).await?.0);
    }
    socket.bind(address)?;
    let listener = socket.listen(1)?;
    println!("ready");
    Ok(listener.accept().await?.0)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().collect();
    let conn = associate(&words[1], words[2].parse()?).await?;
    conn.send(b"greeting", SendOptions::new().stream(1).ppid(0x01020304)).await?;
    while let Some(NotificationOrData::Data(data)) = conn.recv().await? {
        let info = data.rcv_info.ok_or("no information came with a message")?;
        let unordered = info.flags & SendInfo::UNORDERED != 0;
        conn.send(&data.payload, SendOptions::new().stream(info.sid).ppid(info.ppid).unordered(unordered)).await?;
    }
    Ok(())
}
