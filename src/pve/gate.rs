//! Stub until the gate comes.
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
/// stub
#[derive(Default)]
pub struct Gate(Arc<(Mutex<HashMap<String, (u32, u32)>>, Notify)>);
/// stub
pub struct Permit(Arc<(Mutex<HashMap<String, (u32, u32)>>, Notify)>, String, bool);
impl Gate {
    /// stub
    pub fn try_enter(&self, node: &str, blocks: bool) -> Option<Permit> {
        let mut map = self.0.0.lock().ok()?;
        let entry = map.entry(node.to_owned()).or_default();
        if entry.0 >= 2 || (blocks && entry.1 >= 1) {
            return None;
        }
        entry.0 += 1;
        entry.1 += u32::from(blocks);
        Some(Permit(Arc::clone(&self.0), node.to_owned(), blocks))
    }
    /// stub
    pub async fn changed(&self) {
        self.0.1.notified().await;
    }
}
impl Drop for Permit {
    fn drop(&mut self) {
        if let Ok(mut map) = self.0.0.lock() {
            if let Some(entry) = map.get_mut(&self.1) {
                entry.0 -= 1;
                entry.1 -= u32::from(self.2);
            }
        }
        self.0.1.notify_waiters();
    }
}
