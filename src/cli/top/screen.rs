//! The terminal screen: draws the view until a key or a signal ends it, and restores the terminal
//! in any case.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::base::spawn_named;
use crate::cli::top::draw::draw_frame;
use crate::cli::top::poller::Poller;

/// Longest wait until a key or a new figure is seen.
const PATIENCE: Duration = Duration::from_millis(100);

/// The terminal, restored on drop. A panic restores it too, before its message is written.
struct TerminalGuard(DefaultTerminal);

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows the run until a key or a signal ends it.
///
/// # Errors
/// Errors of the terminal.
pub(super) fn show_run(watcher: &mut Poller) -> io::Result<()> {
    let ended = watch_signals()?;
    let mut screen = TerminalGuard(ratatui::try_init()?);
    loop {
        screen.0.draw(|frame| draw_frame(frame, &watcher.current_view()))?;
        loop {
            if ended.load(Ordering::Relaxed) {
                return Ok(());
            }
            if event::poll(PATIENCE)? {
                match event::read()? {
                    Event::Key(key) if is_quit_key(key) => return Ok(()),
                    Event::Resize(..) => break,
                    _ => {}
                }
            }
            if watcher.apply_pending() {
                break;
            }
        }
    }
}

/// Columns of the terminal, if stdout is one.
pub(super) fn terminal_width() -> Option<usize> {
    let size = io::stdout().is_terminal().then(ratatui::crossterm::terminal::size)?;
    size.ok().map(|(columns, _)| usize::from(columns))
}

/// True for `q`, Esc and Ctrl-C. The terminal is in raw mode, so the last is a key and no signal.
fn is_quit_key(key: KeyEvent) -> bool {
    let interrupts = key.modifiers.contains(KeyModifiers::CONTROL);
    let is_one = match key.code {
        KeyCode::Char('c') => interrupts,
        KeyCode::Char('q') => !interrupts,
        KeyCode::Esc => true,
        _ => false,
    };
    is_one && key.kind != KeyEventKind::Release
}

/// Returns a flag that SIGHUP and SIGTERM set.
fn watch_signals() -> io::Result<Arc<AtomicBool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let ended = Arc::new(AtomicBool::new(false));
    for kind in [SignalKind::hangup(), SignalKind::terminate()] {
        let ended = Arc::clone(&ended);
        let mut arrivals = {
            let _inside = runtime.enter();
            signal(kind)?
        };
        runtime.spawn(async move {
            if arrivals.recv().await.is_some() {
                ended.store(true, Ordering::Relaxed);
            }
        });
    }
    // It ends with the process.
    spawn_named("signals", move || runtime.block_on(std::future::pending::<()>()))
        .map_err(io::Error::other)?;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_keys_that_leave_leave() {
        let key = |code, modifiers| KeyEvent::new(code, modifiers);
        let (none, control) = (KeyModifiers::NONE, KeyModifiers::CONTROL);
        for (code, modifiers) in
            [(KeyCode::Char('q'), none), (KeyCode::Esc, none), (KeyCode::Char('c'), control)]
        {
            assert!(is_quit_key(key(code, modifiers)), "{code:?}");
            let released = KeyEvent { kind: KeyEventKind::Release, ..key(code, modifiers) };
            assert!(!is_quit_key(released), "{code:?}");
        }
        for (code, modifiers) in
            [(KeyCode::Char('c'), none), (KeyCode::Char('q'), control), (KeyCode::Enter, none)]
        {
            assert!(!is_quit_key(key(code, modifiers)), "{code:?}");
        }
    }
}
