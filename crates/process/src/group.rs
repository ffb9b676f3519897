//! Processes that are restarted, and stopped, together.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use crate::{
    Commands, Spawn, System,
    supervisor::{GroupPlan, Order},
};

/// Who is restarted when one member of a [`Group`] has died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Only that one. For members that come and go (a *dynamic* group) too.
    OneForOne,
    /// All of them: stopped in reverse order, started in order.
    OneForAll,
    /// That one, and all of higher levels: those that were started after it.
    RestForOne,
}

/// A group of processes, and of groups. Clones are the same group. It goes with its last member.
#[derive(Clone, Debug)]
pub struct Group {
    system: System,
    owner: Arc<Owner>,
}

#[derive(Debug)]
struct Owner {
    system: System,
    id: u64,
    name: String,
    failed: Arc<AtomicBool>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.system.give(Order::ForgetGroup(self.id));
    }
}

/// A group about to be made.
#[derive(Debug)]
#[must_use = "there is no group until `create`"]
pub struct NewGroup<'s> {
    system: &'s System,
    plan: GroupPlan,
}

impl System {
    /// Prepares a group; [`NewGroup::create`] makes it.
    ///
    /// ```no_run
    /// # use process::{BoxError, Context, Process, Restart, Strategy, System, commands};
    /// # struct Camera;
    /// # impl Process for Camera {
    /// #     const KIND: &'static str = "camera";
    /// #     type Config = ();
    /// #     type Event = ();
    /// #     fn start((): (), _: &mut Context<Self>) -> Result<Self, BoxError> { Ok(Self) }
    /// # }
    /// # #[commands]
    /// # impl Camera {}
    /// fn app(system: &System) -> Result<(), BoxError> {
    ///     let door = system.group("door").strategy(Strategy::RestForOne).at_most(3).create();
    ///     let camera = door.spawn::<Camera>(()).name("door.camera").restart(Restart::always()).start()?;
    ///     // Started after the camera, so it is restarted with it.
    ///     let second = door.spawn::<Camera>(()).name("door.second").restart(Restart::always()).start()?;
    ///     door.stop(std::time::Duration::from_secs(1)); // the second, then the camera
    ///     Ok(())
    /// }
    /// ```
    pub fn group(&self, name: impl Into<String>) -> NewGroup<'_> {
        NewGroup { system: self, plan: GroupPlan::new(self.next_id(), name.into()) }
    }
}

impl NewGroup<'_> {
    /// Who is restarted when a member has died; by default only that one.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.plan.strategy = strategy;
        self
    }

    /// After so many restarts within the [period](Self::within) the group gives up, and its parent restarts it as one
    /// member that has died; by default 5. It stands in place of its members' own number.
    pub fn at_most(mut self, restarts: u32) -> Self {
        self.plan.at_most = restarts;
        self
    }

    /// The period that [`at_most`](Self::at_most) looks at; by default a minute.
    pub fn within(mut self, period: Duration) -> Self {
        self.plan.within = period;
        self
    }

    /// How long a restart waits at most; by default 10 s. See [`Restart::longest_delay`](crate::Restart::longest_delay).
    pub fn longest_delay(mut self, delay: Duration) -> Self {
        self.plan.longest_delay = delay;
        self
    }

    /// How long members have to stop when they are restarted with others; by default half a second.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.plan.grace = grace;
        self
    }

    /// It is a member of another group.
    pub fn inside(mut self, parent: &Group) -> Self {
        self.plan.parent = Some(parent.id());
        self
    }

    /// Its place in the parent's order; by default after all that are there.
    pub fn level(mut self, level: u32) -> Self {
        self.plan.level = Some(level);
        self
    }

    /// The application can't live without it: if it gives up, and has no parent, everything is stopped and the
    /// application ends with exit code 70.
    pub fn essential(mut self) -> Self {
        self.plan.essential = true;
        self
    }

    /// Makes it.
    #[must_use]
    pub fn create(self) -> Group {
        let Self { system, plan } = self;
        let owner = Owner { system: system.clone(), id: plan.id, name: plan.name.clone(), failed: plan.failed.clone() };
        system.give(Order::Group(plan));
        Group { system: system.clone(), owner: Arc::new(owner) }
    }
}

impl Group {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.owner.name
    }

    /// Whether it, or one that it is in, has given up. Its members have failed then, and nobody starts another.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.owner.failed.load(Ordering::Relaxed)
    }

    /// Prepares a member. Its [restart policy](crate::Restart) says whether it is restarted after an end of such a
    /// kind; how often and with whom is the group's.
    pub fn spawn<P: Commands>(&self, config: P::Config) -> Spawn<'_, P> {
        self.system.spawn::<P>(config).in_group(self)
    }

    /// Stops all members, and those of groups inside, for good: the highest level first, each level at once, and the next
    /// when that is gone. Returns when all are.
    pub fn stop(&self, grace: Duration) {
        let (done, all_gone) = mpsc::channel();
        self.system.give(Order::StopGroup { id: self.id(), grace, done });
        let _ = all_gone.recv(); // an error is the supervisor's end, and with it everybody's
    }

    pub(crate) fn id(&self) -> u64 {
        self.owner.id
    }
}
