//! How somebody else steers a consumer whose partitions come and go: the seam between
//! the poll thread, which knows librdkafka, and the owner of indexes and transactions,
//! which knows what must be ready before a partition may be read and what must be
//! finished before it may go.

use crate::ingest::control::Control;

/// What the poll thread is told to do.
pub enum Command {
    /// Read these partitions from these offsets. Those that were taken away meanwhile are left out.
    Start(Vec<(u16, i64)>),
    /// Send this through all stages, behind everything read so far.
    Through(Control),
    /// Leave the group and come back: partitions are divided anew.
    Rejoin,
    /// Forget what was read and not handed on, stop reading all partitions, and give the
    /// batches from now on this generation; then send the control through.
    Rewind {
        /// The new generation.
        generation: u32,
        /// What follows.
        then: Control,
    },
}

/// Who steers. All calls come from the poll thread.
pub trait Steering: Send {
    /// The group gave these partitions. They are read when [`Command::Start`] names them.
    fn assigned(&mut self, partitions: &[u16]);

    /// The group takes these partitions; no more of them is read. Unless they are lost, the
    /// control that this returns is sent through behind everything read, and then
    /// [`Steering::settle`] is called.
    fn revoking(&mut self, partitions: &[u16], lost: bool) -> Option<Control>;

    /// Waits until the control of [`Steering::revoking`] came out and all before it is
    /// committed. `handed_on`: false when it could not even be handed on in time.
    /// Afterwards nothing of these partitions can be committed by this member any more.
    fn settle(&mut self, partitions: &[u16], handed_on: bool);

    /// A partition was given that did not exist at the start, and does now.
    fn unknown(&mut self, topic: &str, partition: i32);

    /// The next thing to do; `None` = nothing now.
    fn next(&mut self) -> Option<Command>;
}
