//! `Queue`, `JoinableQueue` and `SimpleQueue`.

mod error;
mod lease;
mod shared;

use pyo3::{prelude::*, types::PyType};
use shm::queue::Acknowledge;

use self::{
    lease::Lease,
    shared::{Options, Shared},
};
use crate::{codec::passing, wait::Limit};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Queue>()?;
    module.add_class::<JoinableQueue>()?;
    module.add_class::<SimpleQueue>()?;
    module.add_class::<Lease>()
}

macro_rules! queue_class {
    ($class:ident, $acknowledge:expr, $doc:literal, { $($more:item)* }) => {
        #[doc = $doc]
        #[pyclass(frozen, subclass, dict, weakref, module = "framewire")]
        pub(crate) struct $class(Shared);

        #[pymethods]
        impl $class {
            #[new]
            #[pyo3(signature = (maxsize = 0, *, codec = "pickle", large_bytes = 1 << 20, descriptor_slots = None, max_deliveries = 5, dead_letters = 64))]
            fn new(
                maxsize: i64,
                codec: &str,
                large_bytes: usize,
                descriptor_slots: Option<usize>,
                max_deliveries: u32,
                dead_letters: usize,
            ) -> PyResult<Self> {
                let options = Options { maxsize, large_bytes, descriptor_slots, max_deliveries, dead_letters };
                Shared::create(options, codec, $acknowledge).map(Self)
            }

            /// Put an object, and wait for room if `block`, for at most `timeout` seconds: then `queue.Full`.
            #[pyo3(signature = (obj, block = true, timeout = None))]
            fn put(&self, obj: &Bound<'_, PyAny>, block: bool, timeout: Option<f64>) -> PyResult<()> {
                self.0.put(obj, Limit::blocking(block, timeout)?)
            }

            /// Take the next object, and wait for one if `block`, for at most `timeout` seconds: then `queue.Empty`.
            #[pyo3(signature = (block = true, timeout = None))]
            fn get<'py>(&self, py: Python<'py>, block: bool, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
                self.0.get(py, Limit::blocking(block, timeout)?)
            }

            /// Put an object, in a task. Cancelling it is safe at any time: nothing is put then.
            fn put_async<'py>(&self, obj: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                self.0.put_async(obj)
            }

            /// Take the next object, in a task. Cancelling it is safe at any time: nothing is taken then.
            fn get_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.0.get_async(py)
            }

            /// Whether nothing waits.
            fn empty(&self) -> PyResult<bool> {
                self.0.is_empty()
            }

            /// Let nobody put anything any more, in any process. What waits is still to be got; then getters are told.
            fn close(&self) -> PyResult<()> {
                self.0.close()
            }

            /// A descriptor that is readable when there may be something to get, or the queue was closed. After each `get` of
            /// this handle's it tells anew.
            fn fileno(&self) -> PyResult<i32> {
                self.0.fileno()
            }

            fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (usize, bool))> {
                passing::refuse_subclass::<Self>(slf.as_any())?;
                let (number, plain) = slf.get().0.leave()?;
                Ok((slf.get_type().getattr("_received")?, (number, plain)))
            }

            #[classmethod]
            fn _received(_class: &Bound<'_, PyType>, number: usize, plain: bool) -> PyResult<Self> {
                Shared::arrive(number, plain).map(Self)
            }

            /// `Queue[int]`, for annotations.
            #[classmethod]
            fn __class_getitem__<'py>(
                class: &Bound<'py, PyType>,
                item: &Bound<'py, PyAny>,
            ) -> PyResult<Bound<'py, PyAny>> {
                class.py().import("types")?.call_method1("GenericAlias", (class, item))
            }

            fn __repr__(&self) -> String {
                format!(concat!("<framewire.", stringify!($class), " {}>"), self.0.state())
            }

            $($more)*
        }
    };
}

macro_rules! full_queue_class {
    ($class:ident, $acknowledge:expr, $doc:literal, { $($more:item)* }) => {
        queue_class!($class, $acknowledge, $doc, {
            /// `put` without waiting.
            fn put_nowait(&self, obj: &Bound<'_, PyAny>) -> PyResult<()> {
                self.0.put(obj, Limit::blocking(false, None)?)
            }

            /// `get` without waiting.
            fn get_nowait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.0.get(py, Limit::blocking(false, None)?)
            }

            /// Take the next object on lease: `with queue.lease() as item`. It is acknowledged at the end of the block; if that
            /// raises, or the process dies, the next one gets it. Waits as `get`.
            #[pyo3(signature = (block = true, timeout = None))]
            fn lease(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<Lease> {
                self.0.lease(py, Limit::blocking(block, timeout)?)
            }

            /// Take the next object on lease, in a task: `with await queue.lease_async() as item`. Cancelling it is safe at any time:
            /// nothing is taken then.
            fn lease_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.0.lease_async(py)
            }

            /// The oldest object that was delivered too often, on lease; None if there is none.
            fn take_dead_letter(&self, py: Python<'_>) -> PyResult<Option<Lease>> {
                self.0.take_dead_letter(py)
            }

            /// How many objects wait. Exact, at one moment of the call.
            fn qsize(&self) -> PyResult<usize> {
                self.0.count(|queue| queue.len())
            }

            /// Whether a put would have to wait.
            fn full(&self) -> PyResult<bool> {
                self.0.count(|queue| usize::from(queue.is_full())).map(|full| full > 0)
            }

            /// How many objects are out: taken on lease, and not acknowledged.
            #[getter]
            fn leased(&self) -> PyResult<usize> {
                self.0.count(|queue| queue.leased())
            }

            /// How many objects were put and aren't acknowledged, nor dead letters.
            #[getter]
            fn unfinished(&self) -> PyResult<usize> {
                self.0.count(|queue| queue.unfinished())
            }

            /// How many dead letters there are.
            #[getter]
            fn dead_letters(&self) -> PyResult<usize> {
                self.0.count(|queue| queue.dead_letters())
            }

            /// How many may wait.
            #[getter]
            fn maxsize(&self) -> PyResult<usize> {
                self.0.count(|queue| queue.capacity())
            }

            /// Does nothing: no thread puts in the background. As in the standard library.
            fn join_thread(&self) {}

            /// Does nothing, as `join_thread`.
            fn cancel_join_thread(&self) {}

            $($more)*
        });
    };
}

full_queue_class!(
    Queue,
    Acknowledge::OnReturn,
    "Objects from any process to any process, in order. It is bounded: `maxsize=0` means room for 4096.",
    {}
);

full_queue_class!(
    JoinableQueue,
    Acknowledge::ByTaskDone,
    "A queue whose objects are acknowledged by `task_done`: what a process got and hasn't acknowledged when it dies, another gets.",
    {
        /// Acknowledge the object that this process got first of those it hasn't acknowledged.
        fn task_done(&self) -> PyResult<()> {
            self.0.task_done()
        }

        /// Wait until everything that was put before is acknowledged, for at most `timeout` seconds: then `TimeoutError`.
        #[pyo3(signature = (timeout = None))]
        fn join(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
            self.0.join(py, Limit::seconds(timeout)?)
        }
    }
);

queue_class!(SimpleQueue, Acknowledge::OnReturn, "A queue with nothing but `put`, `get`, `empty` and `close`.", {});
