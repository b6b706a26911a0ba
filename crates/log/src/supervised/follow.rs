//! Reads the lines of a program, and the models that they name, in batches.

use super::{EarlierLines, Supervised};
use crate::batch::Source;
use crate::digest::FileState;
use crate::wire::Parser;
use crate::{Line, Tail, Unread};
use std::io;
use std::path::Path;
use swath_model::study::TakenLines;

/// Maximum number of rounds in which lines that arrive while a model is read are read too, before
/// the results are recorded.
const ROUNDS: usize = 3;

/// Maximum number of reads of a records file that grows while its lines are read, before the models
/// that they name are read.
const CATCH_UPS: usize = 4;

impl Supervised {
    /// Reads the lines that were appended since the last call, and the models that they name.
    /// Returns the number of bytes read.
    ///
    /// `ended` tells that the program has ended, so that these lines are its last.
    pub(crate) fn follow(
        &mut self,
        tail: &mut Tail,
        ended: bool,
        now: fn() -> i64,
    ) -> io::Result<usize> {
        let mut total = 0;
        let mut result = Ok(());
        let mut source = Source::records(None, false);
        self.reads_batch = true;
        for _ in 0..ROUNDS {
            let (state, read) = self.read_lines(tail, ended, now);
            match read {
                Ok(read) => total += read,
                Err(error) => result = Err(error),
            }
            source = Source::records(state, tail.is_torn());
            if self.forwarder.waiting().is_empty() {
                break;
            }
            self.read_models(Some(source), ended);
            // Lines that were appended meanwhile may name the same models again.
            if ended || result.is_err() || tail.state() == state {
                break;
            }
        }
        self.settle(ended);
        self.seal_checkpoint();
        if ended {
            // The program has ended, so its models do not change any more.
            source.is_buffered = false;
            self.read_last_again(source);
        }
        result.map(|()| total)
    }

    /// Reads the lines that were appended since the last call. Returns the state of the file up to
    /// whose time every line is known, and the number of bytes read.
    ///
    /// A model that is newer than this state is in doubt: a line that is not read yet may name it.
    /// While the file still grows, it is read again, so that a model is not in doubt only because
    /// lines arrive often.
    fn read_lines(
        &mut self,
        tail: &mut Tail,
        ended: bool,
        now: fn() -> i64,
    ) -> (Option<FileState>, io::Result<usize>) {
        let mut total = 0;
        let mut state = None;
        for _ in 0..CATCH_UPS {
            // Every line that was written before this moment is read below.
            state = tail.state();
            let each = &mut |line: Line<'_>| self.tailed(line, now());
            let read = if ended {
                tail.finish(each)
            } else {
                tail.poll(each)
            };
            match read {
                Ok(read) => total += read,
                Err(error) => return (state, Err(error)),
            }
            // Without a model the state decides nothing.
            if self.forwarder.waiting().is_empty() {
                break;
            }
            let state_as_read = tail.state_as_read();
            if ended || state_as_read.is_some() {
                return (state_as_read.or(state), Ok(total));
            }
        }
        (state, Ok(total))
    }

    /// Takes in the lines of a killed attempt that its supervisor had not taken in.
    pub(crate) fn take_unread(
        &mut self,
        path: &Path,
        unread: &Unread,
        modified: i128,
        now: fn() -> i64,
    ) -> io::Result<()> {
        let taken = unread.taken;
        let (rows, is_part) = if unread.is_marked {
            let mark = self.rows.cut_to_mark()?;
            // Without a mark all rows are made again, and no line is: a power cut takes the mark
            // more easily than a program replaces its file within the second before the first mark.
            mark.map_or((0, true), |mark| (mark.records, mark.is_of_part(path)))
        } else {
            (taken.end, false)
        };
        // A line break at the end may be missing.
        let length = path.metadata()?.len() + 1;
        let (rows, taken) = match length < taken.end.max(rows) {
            // A power cut has shortened the file, all of whose lines were taken in.
            true if is_part => (rows.min(length), taken),
            // The program has replaced the file by a shorter one: none of its lines was taken in.
            true => (0, TakenLines::default()),
            false => (rows, taken),
        };
        self.rows.begin_marks(rows, &mut self.forwarder);
        // The mark tells a later run whether a shorter file is a part of this one.
        self.rows.mark_soon();
        self.forwarder.skip(taken);
        self.earlier = Some(EarlierLines {
            rows,
            taken,
            parser: Parser::default(),
        });
        let mut tail = Tail::new(path);
        self.take_batch(modified, true, |supervised| {
            tail.finish(&mut |line| supervised.tailed(line, now()))
        })
        .map(drop)
    }

    /// Records the reports that `feed` finds in a program's output. `modified` is the time of the
    /// last write to the output, in nanoseconds since 1970.
    ///
    /// Programs buffer their output, so the age of a line is unknown.
    pub(crate) fn take_batch<T>(
        &mut self,
        modified: i128,
        ended: bool,
        feed: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.reads_batch = true;
        let fed = feed(self);
        let source = Source {
            modified,
            is_buffered: !ended,
            is_output: true,
        };
        self.read_models(Some(source), ended);
        self.settle(ended);
        if ended {
            self.read_last_again(source);
        }
        fed
    }
}
