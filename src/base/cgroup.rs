//! Memory limit of the container or job that this process is in: Linux' control groups, version 1 and
//! 2. A machine may have more than a process is given; what goes beyond is killed.

use std::path::{Path, PathBuf};

use crate::base::fs;

/// Limits from here on are none: version 1 writes a number close to 2^63.
const NO_LIMIT: u64 = 1 << 60;

/// Memory that this process and its group may take, in bytes; `None` without a limit, and on other
/// systems.
pub fn memory_limit() -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    least_limit(Path::new("/sys/fs/cgroup"), &own)
}

/// Least of the limits of the groups that `own`, the text of `/proc/self/cgroup`, names, and of those
/// above them.
fn least_limit(root: &Path, own: &str) -> Option<u64> {
    own.lines().filter_map(|line| least_on_line(root, line)).min()
}

/// Least limit of one hierarchy: `number:controllers:path`.
fn least_on_line(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let (root, file): (PathBuf, _) = match controllers {
        "" => (root.to_owned(), "memory.max"),
        some if some.split(',').any(|name| name == "memory") => {
            (root.join("memory"), "memory.limit_in_bytes")
        }
        _other => return None,
    };
    // In a container the path may be the host's: then the root that is mounted is the group itself.
    let own = Path::new(path.trim_start_matches('/'));
    let limits = own.ancestors().filter_map(|group| {
        let text = fs::read_to_string(root.join(group).join(file)).ok()?;
        text.trim().parse::<u64>().ok().filter(|limit| *limit < NO_LIMIT)
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }

    #[test]
    fn the_least_limit_of_a_group_and_those_above_it_counts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let own = "0::/job.slice/step.scope\n";
        assert_eq!(least_limit(root, own), None);
        write(root, "job.slice/step.scope/memory.max", "max\n");
        assert_eq!(least_limit(root, own), None);
        write(root, "job.slice/memory.max", "2147483648\n");
        assert_eq!(least_limit(root, own), Some(2 << 30));
        write(root, "job.slice/step.scope/memory.max", "1073741824\n");
        assert_eq!(least_limit(root, own), Some(1 << 30));
    }

    #[test]
    fn version_1_has_a_folder_of_its_own_and_a_number_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let own = "9:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n1:name=systemd:/docker/1\n";
        write(root, "memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(least_limit(root, own), None);
        // The path is the host's and not there; what is mounted is the container's own group.
        write(root, "memory/memory.limit_in_bytes", "536870912\n");
        assert_eq!(least_limit(root, own), Some(512 << 20));
        write(root, "cpu/docker/1/memory.limit_in_bytes", "1\n");
        assert_eq!(least_limit(root, own), Some(512 << 20), "another controller's");
        assert_eq!(least_limit(root, "nonsense\n\n4:memory\n"), None);
    }
}
