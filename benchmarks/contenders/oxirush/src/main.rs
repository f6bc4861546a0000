//! Rust's oxirush-sctp on Tokio, as its users use it: `recv` and `send`, or `recv_many` and `send_many` (form=batch),
//! which also lets messages share packets.
//!
//! One-to-one, flood and echo; see common.py for the words and the protocol.

use std::collections::HashMap;
use std::error::Error;
use std::io::BufRead;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use oxirush_sctp::{
    ConnectedSocket, InitParams, NotificationOrData, ReceivedData, SendOptions, Socket, SocketToAssociation,
};

const FIRST: u8 = 1;
const OTHER: u8 = 2;
const GO: u8 = 3;
const DONE: u8 = 4;
const BATCH: usize = 64;

type Done<T> = Result<T, Box<dyn Error>>;

struct Run(HashMap<String, String>);

impl Run {
    fn number(&self, name: &str, otherwise: usize) -> Done<usize> {
        Ok(self.0.get(name).map(|text| text.parse()).transpose()?.unwrap_or(otherwise))
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.0.get(name).is_some_and(|text| text == value)
    }

    fn address(&self) -> Done<SocketAddr> {
        Ok((Ipv4Addr::LOCALHOST, self.number("port", 5000)? as u16).into())
    }

    fn socket(&self) -> Done<Socket> {
        let socket = Socket::new_v4(SocketToAssociation::OneToOne)?;
        socket.options().set_send_buffer_size(self.number("send_buffer", 1 << 20)?)?;
        socket.options().set_recv_buffer_size(self.number("receive_buffer", 4 << 20)?)?;
        socket.options().set_nodelay(true)?;
        socket.options().set_init_params(InitParams::streams(self.number("streams", 1)? as u16, 64))?;
        Ok(socket)
    }
}

struct Meter(Instant, f64);

fn used() -> f64 {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec;
    seconds as f64 + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) as f64 / 1e6
}

impl Meter {
    fn start() -> Self {
        Self(Instant::now(), used())
    }

    fn stop(self, messages: usize, mut trips: Vec<f64>) {
        let (cpu, seconds) = (used() - self.1, self.0.elapsed().as_secs_f64());
        print!("{{\"messages\": {messages}, \"seconds\": {seconds:.6}, \"cpu\": {cpu:.6}");
        if !trips.is_empty() {
            trips.sort_by(f64::total_cmp);
            print!(", \"p50\": {:.7}, \"p99\": {:.7}", trips[trips.len() / 2], trips[trips.len() * 99 / 100]);
        }
        println!("}}");
    }
}

fn options(stream: usize) -> SendOptions {
    SendOptions::new().stream(stream as u16).ppid(60)
}

async fn get(conn: &ConnectedSocket) -> Done<ReceivedData> {
    match conn.recv().await? {
        Some(NotificationOrData::Data(data)) => Ok(data),
        other => Err(format!("{other:?} came, and no message").into()),
    }
}

async fn expect(conn: &ConnectedSocket, what: u8) -> Done<()> {
    let got = get(conn).await?.payload;
    if got == [what] { Ok(()) } else { Err(format!("{what} was expected, not {got:?}").into()) }
}

fn wait() -> Done<()> {
    std::io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

async fn serve(run: &Run) -> Done<()> {
    let socket = run.socket()?;
    socket.bind(run.address()?)?;
    let listener = socket.listen(4096)?;
    println!("ready");
    let (mut conns, mut leader) = (Vec::new(), 0);
    for number in 0..run.number("associations", 1)? {
        let conn = listener.accept().await?.0;
        if get(&conn).await?.payload == [FIRST] {
            leader = number;
        }
        conns.push(std::rc::Rc::new(conn));
    }
    let (meter, count) = (Meter::start(), run.number("count", 10_000)?);
    conns[leader].send(&[GO], options(0)).await?;
    let share = count / conns.len();
    let work = Work {
        size: run.number("size", 64)?,
        echo: run.is("work", "echo"),
        batch: run.is("form", "batch"),
    };
    if let [conn] = &conns[..] {
        work.take(conn, share).await?;
    } else {
        let tasks: Vec<_> = conns
            .iter()
            .cloned()
            .map(|conn| tokio::task::spawn_local(async move { work.take(&conn, share).await.map_err(|e| e.to_string()) }))
            .collect();
        for task in tasks {
            task.await??;
        }
    }
    meter.stop(count, Vec::new());
    conns[leader].send(&[DONE], options(0)).await?;
    wait()?;
    for conn in conns {
        std::rc::Rc::into_inner(conn).ok_or("a task is left")?.abort(b"")?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Work {
    size: usize,
    echo: bool,
    batch: bool,
}

impl Work {
    async fn take(&self, conn: &ConnectedSocket, count: usize) -> Done<()> {
        let (mut received, mut some) = (0, Vec::new());
        while received < count {
            some.clear();
            if self.batch {
                conn.recv_many(&mut some, BATCH.min(count - received)).await?;
            } else {
                some.push(NotificationOrData::Data(get(conn).await?));
            }
            for each in &some {
                let NotificationOrData::Data(data) = each else { return Err("a notification came".into()) };
                if data.payload.len() != self.size {
                    return Err("a message has the wrong size".into());
                }
                received += 1;
                if self.echo {
                    conn.send(&data.payload, options(data.stream_id().unwrap_or(0).into())).await?;
                }
            }
        }
        Ok(())
    }
}

async fn talk(run: &Run) -> Done<()> {
    let mut conns = Vec::new();
    for number in 0..run.number("associations", 1)? {
        let conn = run.socket()?.connect(run.address()?).await?.0;
        conn.send(&[if number == 0 { FIRST } else { OTHER }], options(0)).await?;
        conns.push(conn);
    }
    expect(&conns[0], GO).await?;
    let (count, streams) = (run.number("count", 10_000)?, run.number("streams", 1)?);
    let (data, mut trips) = (vec![0; run.number("size", 64)?], Vec::new());
    let meter = Meter::start();
    if run.is("form", "batch") && run.is("work", "flood") {
        let share = count / conns.len();
        for done in (0..share).step_by(BATCH) {
            let batch: Vec<_> =
                (done..share.min(done + BATCH)).map(|number| (&data[..], options(number % streams))).collect();
            for conn in &conns {
                let mut sent = 0;
                while sent < batch.len() {
                    sent += conn.send_many(&batch[sent..]).await?;
                }
            }
        }
    } else {
        for number in 0..count {
            let (conn, sent) = (&conns[number % conns.len()], Instant::now());
            conn.send(&data, options(number / conns.len() % streams)).await?;
            if run.is("work", "echo") {
                if get(conn).await?.payload.len() != data.len() {
                    return Err("not the answer that was expected".into());
                }
                trips.push(sent.elapsed().as_secs_f64());
            }
        }
    }
    expect(&conns[0], DONE).await?;
    meter.stop(count, trips);
    wait()?;
    for conn in conns {
        conn.abort(b"")?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done<()> {
    let mut line = String::new();
    while std::io::stdin().lock().read_line(&mut line)? > 0 {
        let words = line.split_whitespace().filter_map(|word| word.split_once('='));
        let run = Run(words.map(|(name, value)| (name.into(), value.into())).collect());
        line.clear();
        let all = tokio::task::LocalSet::new();
        if run.is("role", "server") {
            all.run_until(serve(&run)).await?;
        } else {
            all.run_until(talk(&run)).await?;
        }
        println!("over");
    }
    Ok(())
}
