//! The free pages of a database, whose bytes mean nothing.
//!
//! SQLite does not journal the leaves of the freelist ("SQLite file format", 1.5): a transaction that is rolled back, by
//! the application or after a crash, may leave other bytes in them, and no counter tells. Nobody reads them.

use std::collections::HashSet;
use std::io;
use std::time::Instant;

use super::source::{ReadAt, be16, be32};

/// The leaves of a freelist.
pub(crate) struct FreePages {
    page_bytes: u64,
    /// Their numbers, counted from 1, in order.
    leaves: Vec<u32>,
}

impl FreePages {
    /// Returns the free pages of a main file; `None` if it has none, if its freelist is none, or if the deadline passed.
    pub(crate) fn of(file: &dyn ReadAt, deadline: Instant) -> io::Result<Option<Self>> {
        let mut header = [0; 100];
        file.read_full_at(0, &mut header)?;
        let page_bytes = match u32::from(be16(&header, 16)) {
            1 => 65_536,
            bytes if bytes.is_power_of_two() && bytes >= 512 => bytes,
            _ => return Ok(None),
        };
        let mut page = vec![0; page_bytes as usize];
        let (mut trunks, mut leaves) = (HashSet::new(), Vec::new());
        let mut trunk = be32(&header, 32);
        while trunk != 0 {
            let offset = u64::from(trunk - 1) * u64::from(page_bytes);
            let count = file.read_full_at(offset, &mut page)?;
            if count < page.len() || !trunks.insert(trunk) || Instant::now() >= deadline {
                return Ok(None);
            }
            let most = page.len() / 4 - 2;
            let entries = (be32(&page, 4) as usize).min(most);
            let numbers = (0..entries).map(|entry| be32(&page, 8 + 4 * entry));
            leaves.extend(numbers.filter(|number| *number > 0));
            trunk = be32(&page, 0);
        }
        leaves.sort_unstable();
        let page_bytes = u64::from(page_bytes);
        Ok((!leaves.is_empty()).then_some(Self { page_bytes, leaves }))
    }

    /// Fills the free pages in a part of the file with zeros; it begins where a page begins.
    pub(crate) fn blank(&self, part: &mut [u8], at: u64) {
        let end = at + part.len() as u64;
        let offset = |number: u32| u64::from(number - 1) * self.page_bytes;
        let first = self.leaves.partition_point(|number| offset(*number) < at);
        let offsets = self.leaves[first..].iter().map(|number| offset(*number));
        for begins in offsets.take_while(|begins| *begins < end) {
            let within = |offset: u64| usize::try_from(offset - at).unwrap_or(usize::MAX);
            let (from, to) = (within(begins), within((begins + self.page_bytes).min(end)));
            if let Some(free) = part.get_mut(from..to) {
                free.fill(0);
            }
        }
    }
}
