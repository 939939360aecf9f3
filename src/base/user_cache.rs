//! Folder for what later runs of any project may use again, and what can be made anew when it is gone.

use std::env;
use std::path::PathBuf;

/// Returns the folder `gliaflow` under the user's cache folder, `$XDG_CACHE_HOME` or `~/.cache`; `None` where the
/// system names neither, or by a path that is not absolute.
pub fn user_cache_folder() -> Option<PathBuf> {
    let named = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    cache_folder(named("XDG_CACHE_HOME"), named("HOME"))
}

fn cache_folder(cache: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    cache.or_else(|| home.map(|home| home.join(".cache"))).map(|folder| folder.join("gliaflow"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_folder_is_the_users_own_or_in_the_home_folder() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(cache_folder(path("/fast"), path("/home/user")), path("/fast/gliaflow"));
        assert_eq!(cache_folder(None, path("/home/user")), path("/home/user/.cache/gliaflow"));
        assert_eq!(cache_folder(None, None), None);
    }
}
