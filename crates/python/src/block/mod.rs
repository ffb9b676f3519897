//! A block whose work is done by a Python function or class: the process that `python -m framewire.analyser` becomes.

mod kept;
mod log;
mod picture;
mod watch;

use std::{process::ExitCode, time::Duration};

use blocks::{Analyser, AnalyserConfig, Found, Region};
use graph::{Arrived, Block, BlockContext, BlockHost, BoxError, Frame, Info, Output, RingOptions, Text};
use process::Program;
use pyo3::{
    exceptions::{PyKeyboardInterrupt, PySystemExit},
    intern,
    prelude::*,
};

use self::{
    kept::Kept,
    watch::{Watch, What},
};

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
    kept: Kept,
    watch: Watch,
    /// How long it may look at a picture.
    responsive_within: Option<Duration>,
}

/// A result is small, as a rule; a larger one makes the ring grow.
const FOUND_BYTES: usize = 4096;
/// Whoever draws them should get them all, also of many cameras.
const DEPTH: u32 = 128;

impl Block for PythonBlock {
    const KIND: &'static str = Analyser::KIND;
    type Config = AnalyserConfig;

    fn start(config: AnalyserConfig, cx: &mut BlockContext) -> Result<Self, BoxError> {
        let output = cx.output(Analyser::FOUND, RingOptions { depth: DEPTH, frame_bytes: FOUND_BYTES })?;
        let AnalyserConfig { block: name, file, name: work, parameters, ready_within, responsive_within } = config;
        let trace = Python::attach(|py| py.import("framewire.analyser")?.getattr("TRACE")?.extract())?;
        let watch = Watch::begin(cx.status().clone(), trace)?;
        watch.show(String::new());
        let loading = watch.at(What::Start(file.display().to_string()), ready_within);
        let started = Python::attach(|py| -> Result<_, String> {
            let start = || -> PyResult<_> {
                py.import("numpy")?;
                let analyser = py.import("framewire.analyser")?;
                let file = file.to_string_lossy();
                let runner = analyser.getattr("Runner")?.call1((&name, file, work, parameters))?;
                let view: String = runner.getattr("manifest")?.call_method0("view")?.extract()?;
                let wants_info = runner.getattr("wants_info")?.extract()?;
                Ok((runner.unbind(), view, wants_info))
            };
            start().map_err(|error| format!("could not start {}\n{}", file.display(), explain(py, &error)))
        });
        drop(loading);
        let (runner, view, wants_info) = started?;
        cx.wish(&Analyser::PICTURES, &view);
        cx.status().set_text(Text::Detail, &view);
        Ok(Self { name, runner, wants_info, output, kept: Kept::default(), watch, responsive_within })
    }

    fn frame(&mut self, from: Arrived<'_>, picture: Frame, _cx: &mut BlockContext) -> Result<(), BoxError> {
        let (info, sequence) = (*picture.info(), picture.sequence());
        let camera = from.label;
        let looking = self.watch.at(What::Picture(camera.to_owned()), self.responsive_within);
        let looked = Python::attach(|py| match self.look(py, camera, picture) {
            Ok(looked) => looked,
            // It wants to end; that is no picture's fault.
            Err(error) if ends(py, &error) => Looked::TooMuch(explain(py, &error)),
            Err(error) => self.failed(py, camera, &error),
        });
        drop(looking);
        match looked {
            Looked::Well { boxes, result, trouble } => {
                trouble.into_iter().for_each(|trouble| self.watch.show(trouble));
                let (camera, block, result) = (camera.to_owned(), self.name.clone(), Some(result));
                Found { camera, block, sequence, boxes, result }.publish(&mut self.output, &info)
            }
            Looked::Wrong { told, trouble } => {
                told.into_iter().for_each(|told| tracing::error!("{told}"));
                self.watch.show(trouble);
                Ok(())
            }
            Looked::TooMuch(why) => Err(why.into()),
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

/// What came of a picture.
enum Looked {
    Well {
        boxes: Vec<Region>,
        /// As JSON.
        result: String,
        /// What is wrong with other pictures, if that is something else than before.
        trouble: Option<String>,
    },
    Wrong {
        /// In the terminal.
        told: Option<String>,
        /// On the page.
        trouble: String,
    },
    /// The process is to end.
    TooMuch(String),
}

impl PythonBlock {
    fn look(&mut self, py: Python<'_>, camera: &str, picture: Frame) -> PyResult<Looked> {
        let leases = self.kept.of(camera, &picture);
        let runner = self.runner.bind(py);
        if !self.kept.have_room(py, &leases)? {
            let why = kept::no_room(camera, &leases);
            let (told, trouble) = runner.call_method1(intern!(py, "passed_over"), (camera, why))?.extract()?;
            return Ok(Looked::Wrong { told, trouble });
        }
        let info = *picture.info();
        let about = if self.wants_info { Some(about(py, camera, &picture)?) } else { None };
        let array = picture::array(py, picture, &leases)?;
        let looked = runner.call_method1(intern!(py, "look"), (array, about, info.width, info.height))?;
        let (drawn, result): (Vec<Drawn>, String) = looked.extract()?;
        let trouble = runner.call_method1(intern!(py, "well"), (camera,))?.extract()?;
        let region = |(x, y, w, h, label, score)| Region { x, y, w, h, label, score };
        Ok(Looked::Well { boxes: drawn.into_iter().map(region).collect(), result, trouble })
    }

    fn failed(&self, py: Python<'_>, camera: &str, error: &PyErr) -> Looked {
        let why = explain(py, error);
        let failed = self.runner.bind(py).call_method1(intern!(py, "failed"), (camera, &why));
        match failed.and_then(|failed| failed.extract::<(Option<String>, String, bool)>()) {
            Ok((told, trouble, false)) => Looked::Wrong { told, trouble },
            Ok((_, why, true)) => Looked::TooMuch(why),
            Err(_) => Looked::TooMuch(why),
        }
    }
}

fn ends(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py)
}

/// A `framewire.PictureInfo`.
fn about<'py>(py: Python<'py>, camera: &str, picture: &Frame) -> PyResult<Bound<'py, PyAny>> {
    let info = picture.info();
    let kind = py.import(intern!(py, "framewire.blocks"))?.getattr(intern!(py, "PictureInfo"))?;
    let captured_ms = info.wall_ns as f64 / 1e6;
    kind.call1((camera, picture.sequence(), info.pts_ns, captured_ms, info.has(Info::FLAG_DAMAGED)))
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
