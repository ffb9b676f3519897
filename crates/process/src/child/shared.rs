//! A process as its asynchronous commands hold it: together, and in turns.

use std::{
    cell::{RefCell, RefMut},
    fmt,
    rc::Rc,
};

use super::Context;
use crate::Process;

/// A process, held by each of its asynchronous commands at once; what an `async` command has in place of `&mut self`.
///
/// The process is theirs in turns, and a turn never crosses an `.await`: [`with`](Self::with) gives it to a closure,
/// which ends before the next await can begin. All of it is on the one thread of the process's event loop, so there is
/// no lock, nothing waits for a turn, and nothing changes in the middle of one. Clones are the same process; they can't
/// leave the thread.
///
/// ```
/// use process::{BoxError, Context, Process, Shared, commands};
///
/// struct Library { reads: u64, shelf: std::path::PathBuf }
/// # impl Process for Library {
/// #     const KIND: &'static str = "library";
/// #     type Config = ();
/// #     type Event = u64;
/// #     fn start((): (), _cx: &mut Context<Self>) -> Result<Self, BoxError> {
/// #         Ok(Self { reads: 0, shelf: "/tmp".into() })
/// #     }
/// # }
/// # async fn read_slowly(path: std::path::PathBuf) -> Result<String, String> { Err(path.display().to_string()) }
///
/// #[commands]
/// impl Library {
///     /// A book's text. Others are read meanwhile.
///     pub async fn read(this: Shared<Self>, title: String) -> Result<String, String> {
///         let path = this.with(|library| library.shelf.join(title));
///         let text = read_slowly(path).await?;
///         this.with_context(|library, cx| {
///             library.reads += 1;
///             cx.emit(&library.reads);
///         });
///         Ok(text)
///     }
/// }
/// ```
///
/// # Panics
///
/// Both ways to reach the process panic if that isn't possible, and say why: inside of another such closure, a plain
/// command, a watch or a [`turn`](Process::turn), all of which have the process already; and from
/// [`Process::stop`] on, which takes it.
pub struct Shared<P: Process>(Rc<RefCell<Option<Home<P>>>>);

struct Home<P: Process> {
    process: P,
    cx: Context<P>,
}

impl<P: Process> Shared<P> {
    pub(super) fn new(process: P, cx: Context<P>) -> Self {
        Self(Rc::new(RefCell::new(Some(Home { process, cx }))))
    }

    /// Has `turn` work with the process, and gives what it gives.
    ///
    /// # Panics
    ///
    /// If the process is in other hands, or has stopped; see [above](Self#panics).
    #[track_caller]
    pub fn with<R>(&self, turn: impl FnOnce(&mut P) -> R) -> R {
        self.with_context(|process, _| turn(process))
    }

    /// As [`with`](Self::with), with the process's [`Context`] beside it: to say events, to watch descriptors, for its
    /// own children. What waits in here (an event under [`Overflow::Wait`](crate::Overflow::Wait), the start of a child)
    /// holds up the whole process, as it does in a plain command.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with).
    #[track_caller]
    pub fn with_context<R>(&self, turn: impl FnOnce(&mut P, &mut Context<P>) -> R) -> R {
        let Ok(home) = self.0.try_borrow_mut() else {
            panic!("the {} is in use further up on this stack: use what that has of it, not Shared::with", P::KIND)
        };
        let Ok(mut home) = RefMut::filter_map(home, Option::as_mut) else {
            panic!("the {} has stopped: Shared::with reaches it no more", P::KIND)
        };
        let Home { process, cx } = &mut *home;
        turn(process, cx)
    }

    /// The process itself: nobody reaches it any more, whatever clones there are.
    pub(super) fn take(&self) -> Option<(P, Context<P>)> {
        self.0.borrow_mut().take().map(|Home { process, cx }| (process, cx))
    }
}

impl<P: Process> Clone for Shared<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P: Process> fmt::Debug for Shared<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&P::KIND).finish()
    }
}
