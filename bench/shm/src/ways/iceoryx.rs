//! iceoryx2: publish-subscribe for the payload, without a copy beside our own, and an event to wake by.

use std::{
    env, fs, hint,
    path::PathBuf,
    process,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use bench::Outcome;
use iceoryx2::{
    config::Config,
    port::{listener::Listener, notifier::Notifier, publisher::Publisher, subscriber::Subscriber},
    prelude::*,
    service::port_factory::{event, publish_subscribe},
};
use serde::{Deserialize, Serialize};

use super::{Ends, Lane, Reads, Wait, Way, Writes};

/// Where a service is found: names that no other lane has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ticket {
    run: Run,
    service: String,
    /// How many of the newest payloads stay readable for who comes later. Our rings always keep one.
    history: usize,
}

/// The process that measures: all that it starts have their files with its own.
static RUN: OnceLock<u32> = OnceLock::new();

/// Says in another process of the benchmark whose run it is.
pub fn belongs_to(run: u32) {
    let _ = RUN.set(run);
}

/// Whose files they are.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Run {
    root: PathBuf,
    prefix: String,
}

/// What iceoryx2 leaves behind when its processes are killed; dropped, it is removed.
pub struct Files(Run);

/// A service and what it needs to live.
pub struct Service {
    pub events: event::PortFactory<ipc::Service>,
    pub payloads: publish_subscribe::PortFactory<ipc::Service, [u8], ()>,
    _node: Node<ipc::Service>,
}

struct Writing {
    publisher: Publisher<ipc::Service, [u8], ()>,
    notifier: Option<Notifier<ipc::Service>>,
    _service: Service,
}

pub struct Reading {
    subscriber: Subscriber<ipc::Service, [u8], ()>,
    listener: Option<Listener<ipc::Service>>,
    _service: Service,
}

pub fn open(lane: &Lane) -> Outcome<Ends> {
    let ticket = Ticket::new(usize::from(lane.way == Way::IceoryxKeeping));
    let service = ticket.service()?;
    let publisher = service.payloads.publisher_builder().initial_max_slice_len(lane.bytes).create()?;
    let notifier = match lane.wait {
        Wait::Asleep => Some(service.events.notifier_builder().create()?),
        Wait::Spinning => None,
    };
    let tickets = (0..lane.readers).map(|_| super::Ticket::Iceoryx(ticket.clone())).collect();
    Ok((Box::new(Writing { publisher, notifier, _service: service }), tickets))
}

impl Ticket {
    pub fn new(history: usize) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { run: Run::this(), service: format!("{}/{number}", process::id()), history }
    }

    /// Makes the service, or finds it.
    pub fn service(&self) -> Outcome<Service> {
        set_log_level(LogLevel::Fatal);
        let node = NodeBuilder::new().config(&self.run.config()?).create::<ipc::Service>()?;
        let name: ServiceName = self.service.as_str().try_into()?;
        let payloads = node
            .service_builder(&name)
            .publish_subscribe::<[u8]>()
            .max_subscribers(8)
            .max_nodes(16)
            .history_size(self.history);
        let events = node.service_builder(&name).event().max_listeners(8).max_nodes(16);
        Ok(Service { events: events.open_or_create()?, payloads: payloads.open_or_create()?, _node: node })
    }

    pub fn open(self, lane: &Lane) -> Outcome<Reading> {
        let service = self.service()?;
        let subscriber = service.payloads.subscriber_builder().create()?;
        let listener = match lane.wait {
            Wait::Asleep => Some(service.events.listener_builder().create()?),
            Wait::Spinning => None,
        };
        Ok(Reading { subscriber, listener, _service: service })
    }
}

impl Writes for Writing {
    fn write(&mut self, payload: &[u8]) -> Outcome {
        self.publisher.loan_slice_uninit(payload.len())?.write_from_slice(payload).send()?;
        if let Some(notifier) = &self.notifier {
            notifier.notify()?;
        }
        Ok(())
    }
}

impl Reads for Reading {
    fn read(&mut self, look: &mut dyn FnMut(&[u8])) -> Outcome {
        loop {
            if let Some(sample) = self.subscriber.receive()? {
                look(sample.payload());
                return Ok(());
            }
            match &self.listener {
                Some(listener) => drop(listener.blocking_wait(|_| {})?),
                None => hint::spin_loop(),
            }
        }
    }
}

impl Run {
    fn this() -> Self {
        let process = RUN.get_or_init(process::id);
        Self { root: env::temp_dir().join(format!("framewire-bench-{process}")), prefix: format!("fwb{process}_") }
    }

    fn config(&self) -> Outcome<Config> {
        let mut config = Config::default();
        config.global.prefix = FileName::new(self.prefix.as_bytes())?;
        config.global.set_root_path(&Path::new(self.root.as_os_str().as_encoded_bytes())?);
        // Each lane is by itself; who was killed stays as it lies, until the run's end.
        config.global.node.cleanup_dead_nodes_on_creation = false;
        config.global.node.cleanup_dead_nodes_on_destruction = false;
        config.global.service.cleanup_dead_nodes_on_open = false;
        Ok(config)
    }
}

impl Files {
    pub fn of_this_run() -> Self {
        Self(Run::this())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // Nothing is there if nothing was made.
        let _ = fs::remove_dir_all(&self.0.root);
        let Ok(folder) = fs::read_dir("/dev/shm") else { return };
        for file in
            folder.flatten().filter(|file| file.file_name().as_encoded_bytes().starts_with(self.0.prefix.as_bytes()))
        {
            let _ = fs::remove_file(file.path());
        }
    }
}
