//! A block whose work is done by a Python function or class: the process that `python -m framewire.analyser` becomes.

mod log;
mod picture;

use std::process::ExitCode;

use blocks::{Analyser, AnalyserConfig, Found, Region};
use graph::{Arrived, Block, BlockContext, BlockHost, BoxError, Frame, Info, Output, RingOptions, Text};
use process::Program;
use pyo3::{
    exceptions::{PyKeyboardInterrupt, PySystemExit},
    intern,
    prelude::*,
};

use crate::ring::Leases;

/// Adds what Python calls.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(become_analyser, module)?)?;
    module.add_function(wrap_pyfunction!(log::log, module)?)
}

/// Becomes an analyser, if `arguments` are those of one, and gives its exit code when it has ended; else gives `None`.
#[pyfunction]
fn become_analyser(py: Python<'_>, arguments: Vec<String>) -> Option<u8> {
    let ended = py.detach(|| Program::new().process::<BlockHost<PythonBlock>>().run_child(arguments));
    ended.map(|ended| u8::from(ended != ExitCode::SUCCESS))
}

/// A Python object, at work on pictures.
struct PythonBlock {
    name: String,
    /// `framewire.analyser.Runner`.
    runner: Py<PyAny>,
    wants_info: bool,
    output: Output<Found>,
    leases: Leases,
    failures: Failures,
}

/// What went wrong with the last pictures.
#[derive(Debug, Default)]
struct Failures {
    in_a_row: u32,
    /// The last one, with its traceback.
    last: String,
}

/// A result is small, as a rule; a larger one makes the ring grow.
const FOUND_BYTES: usize = 4096;
/// Whoever draws them should get them all, also of many cameras.
const DEPTH: u32 = 128;

/// One bad picture is nothing. After so many in a row it may be the process that is broken: a lost device, a full memory.
const MAX_FAILURES: u32 = 10;

impl Block for PythonBlock {
    const KIND: &'static str = Analyser::KIND;
    type Config = AnalyserConfig;

    fn start(config: AnalyserConfig, cx: &mut BlockContext) -> Result<Self, BoxError> {
        let output = cx.output(Analyser::FOUND, RingOptions { depth: DEPTH, frame_bytes: FOUND_BYTES })?;
        let AnalyserConfig { block: name, file, name: work, parameters } = config;
        let started = Python::attach(|py| -> Result<_, String> {
            let start = || -> PyResult<_> {
                py.import("numpy")?;
                let analyser = py.import("framewire.analyser")?;
                let runner = analyser.getattr("Runner")?.call1((&name, file.to_string_lossy(), work, parameters))?;
                let view: String = runner.getattr("manifest")?.call_method0("view")?.extract()?;
                let wants_info = runner.getattr("wants_info")?.extract()?;
                Ok((runner.unbind(), view, wants_info))
            };
            start().map_err(|error| format!("could not start {}\n{}", file.display(), explain(py, &error)))
        });
        let (runner, view, wants_info) = started?;
        cx.wish(&Analyser::PICTURES, &view);
        cx.status().set_text(Text::Detail, &view);
        cx.status().set_text(Text::Trouble, "");
        Ok(Self { name, runner, wants_info, output, leases: Leases::default(), failures: Failures::default() })
    }

    fn frame(&mut self, from: Arrived<'_>, picture: Frame, cx: &mut BlockContext) -> Result<(), BoxError> {
        let (info, sequence) = (*picture.info(), picture.sequence());
        let looked = Python::attach(|py| {
            self.look(py, from.label, picture).map_err(|error| {
                let ends = error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py);
                (explain(py, &error), ends)
            })
        });
        match looked {
            Ok((boxes, result)) => {
                self.failures.over(cx);
                let (camera, block, result) = (from.label.to_owned(), self.name.clone(), Some(result));
                Found { camera, block, sequence, boxes, result }.publish(&mut self.output, &info)
            }
            // It wants to end; that is no picture's fault.
            Err((why, true)) => Err(why.into()),
            Err((why, false)) => self.failures.count(from.label, why, cx),
        }
    }

    fn stop(self) {
        Python::attach(|py| {
            if let Err(error) = self.runner.call_method0(py, intern!(py, "stop")) {
                tracing::error!("it couldn't stop as it should:\n{}", explain(py, &error));
            }
        });
    }
}

/// Where a box is drawn, as `framewire.findings` has it.
type Drawn = (f32, f32, f32, f32, String, f32);

impl PythonBlock {
    fn look(&self, py: Python<'_>, camera: &str, picture: Frame) -> PyResult<(Vec<Region>, String)> {
        let info = *picture.info();
        let about = if self.wants_info { Some(about(py, camera, &picture)?) } else { None };
        let array = picture::array(py, picture, &self.leases)?;
        let looked = self.runner.bind(py).call_method1(intern!(py, "look"), (array, about, info.width, info.height))?;
        let (drawn, result): (Vec<Drawn>, String) = looked.extract()?;
        let region = |(x, y, w, h, label, score)| Region { x, y, w, h, label, score };
        Ok((drawn.into_iter().map(region).collect(), result))
    }
}

/// A `framewire.PictureInfo`.
fn about<'py>(py: Python<'py>, camera: &str, picture: &Frame) -> PyResult<Bound<'py, PyAny>> {
    let info = picture.info();
    let kind = py.import(intern!(py, "framewire.blocks"))?.getattr(intern!(py, "PictureInfo"))?;
    let captured_ms = info.wall_ns as f64 / 1e6;
    kind.call1((camera, picture.sequence(), info.pts_ns, captured_ms, info.has(Info::FLAG_DAMAGED)))
}

impl Failures {
    /// A picture went well.
    fn over(&mut self, cx: &BlockContext) {
        if std::mem::take(self).in_a_row > 0 {
            cx.status().set_text(Text::Trouble, "");
        }
    }

    /// Another one didn't. The traceback is logged when it is another than before.
    fn count(&mut self, camera: &str, why: String, cx: &BlockContext) -> Result<(), BoxError> {
        self.in_a_row += 1;
        let count = self.in_a_row;
        if count == MAX_FAILURES {
            return Err(format!("{count} pictures in a row went wrong, the last one of {camera} so:\n{why}").into());
        }
        if self.last == why {
            tracing::warn!("it went wrong again, {count} times in a row now");
        } else {
            tracing::error!("it went wrong with a picture of {camera}:\n{why}");
        }
        let heading = format!("{count} in a row went wrong, the last one of {camera}:\n");
        let room = Text::Trouble.capacity() - heading.len().min(Text::Trouble.capacity());
        let from = why.ceil_char_boundary(why.len().saturating_sub(room));
        cx.status().set_text(Text::Trouble, &format!("{heading}{}", &why[from..]));
        self.last = why;
        Ok(())
    }
}

/// The traceback, as far as it concerns whoever wrote the file.
fn explain(py: Python<'_>, error: &PyErr) -> String {
    // Before Python 3.12 the traceback isn't in the exception until that is made whole.
    let whole = error.clone_ref(py).into_value(py);
    let explained = py
        .import("framewire.analyser")
        .and_then(|analyser| analyser.call_method1("explain", (whole,))?.extract::<String>());
    explained.unwrap_or_else(|_| error.to_string())
}
