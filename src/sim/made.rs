//! Processes of a machine, and its disk after a power cut: a test makes these of it.

use super::SimDisk;
use super::power::{ImageId, PowerCut, PowerCuts};
use super::process::SimProcess;
use crate::store::disk::Disk;
use std::sync::Arc;

impl SimDisk {
    /// The disk as a new process of user and group 1000 sees it.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.process())
    }

    /// A new process of user and group 1000.
    pub fn process(&self) -> SimProcess {
        self.process_of(1000, 1000)
    }

    /// A new process of this user and group; user 0 may do everything.
    pub fn process_of(&self, uid: u32, gid: u32) -> SimProcess {
        SimProcess::of(self, uid, gid)
    }

    /// Every machine that a power cut at any step so far can leave, see [`PowerCuts`]. This machine goes on
    /// undisturbed.
    pub fn power_cuts(&self) -> PowerCuts {
        PowerCuts::new(&self.lock())
    }

    /// The machine that one power cut leaves, if the steps of this one led to it.
    ///
    /// # Errors
    /// `InvalidInput`, if this is no image of this machine.
    pub fn power_cut(&self, id: ImageId) -> crate::Result<PowerCut> {
        self.power_cuts().image(id)
    }
}
