//! One Prometheus of the test's own: it scrapes nothing, takes remote writes, and ends with the test.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Prometheus {
    pub(crate) url: String,
    process: Child,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it where the system picks. Nothing if it is not installed, and with `CI=true` a failure then.
    pub(crate) fn start() -> Option<Self> {
        let there = Command::new("prometheus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !there.is_ok_and(|s| s.success()) {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "Prometheus is missing: run `make test`");
            eprintln!("SKIPPED: `prometheus` is not installed on this machine; `make test` installs it");
            return None;
        }
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("p.yml"), "scrape_configs: []\n").expect("its file is written");
        let log_file = dir.path().join("log");
        let log = std::fs::File::create(&log_file).expect("a log file");
        let mut command = Command::new("prometheus");
        command.arg("--config.file").arg(dir.path().join("p.yml"));
        command.arg("--storage.tsdb.path").arg(dir.path().join("data"));
        command.args(["--web.listen-address=127.0.0.1:0", "--web.enable-remote-write-receiver"]);
        command.arg("--enable-feature=native-histograms");
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
        let mut prometheus = Self { url: String::new(), process, _dir: dir };
        let patience = Instant::now() + Duration::from_secs(20);
        let said = |line: &str| line.contains("msg=\"Server is ready to receive web requests.\"");
        loop {
            let log = std::fs::read_to_string(&log_file).unwrap_or_default();
            let listens = log.split_inclusive('\n').find(|l| l.contains("msg=\"Listening on\"") && l.ends_with('\n'));
            if let (Some(line), true) = (listens, log.lines().any(said)) {
                let address = line.trim().rsplit_once("address=").expect("it says where").1;
                prometheus.url = format!("http://{address}");
                return Some(prometheus);
            }
            assert!(Instant::now() < patience, "Prometheus does not listen:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes samples; they can be queried at once.
    pub(crate) async fn write(&self, body: &[u8]) {
        // A second installation in this process is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
        let request = client.post(format!("{}/api/v1/write", self.url)).body(body.to_vec());
        let request = request.header("content-encoding", "snappy").header("content-type", "application/x-protobuf");
        let answer = request.header("x-prometheus-remote-write-version", "0.1.0").send().await.expect("it answers");
        let status = answer.status();
        assert_eq!(status, 204, "{}", answer.text().await.unwrap_or_default());
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
