//! stub
/// stub
pub struct Own {}
impl Own {
    /// stub
    pub fn api_request(&self, _cluster: &str, _path: &str, _outcome: &str) {}
    /// stub
    pub fn collector_error(&self, _cluster: &str, _collector: &str, _reason: &str) {}
}
