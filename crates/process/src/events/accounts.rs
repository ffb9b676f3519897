//! What each incarnation has said and may say, where a process waits for its events to be read.

/// One for each incarnation of which something isn't read, or was read and not told.
#[derive(Debug, Default)]
pub(super) struct Accounts(Vec<Account>);

#[derive(Debug)]
struct Account {
    incarnation: u64,
    /// How many of its events nobody has read.
    unread: u64,
    /// How many were read that it hasn't been told of.
    read: u64,
    /// It began with more unread ones than it may have: so many it isn't told of.
    debt: u64,
}

impl Accounts {
    /// An event of this incarnation has come.
    pub(super) fn came(&mut self, incarnation: u64) {
        self.of(incarnation).unread += 1;
    }

    /// One was read.
    pub(super) fn read(&mut self, incarnation: u64) {
        let account = self.of(incarnation);
        account.unread = account.unread.saturating_sub(1);
        match account.debt {
            0 => account.read += 1,
            _ => account.debt -= 1,
        }
    }

    /// How many it is to be told of now: not of each single one, but when half of what it may say was read, or all.
    pub(super) fn due(&self, incarnation: u64, most: u64) -> Option<u64> {
        let account = self.0.iter().find(|account| account.incarnation == incarnation)?;
        (account.read > 0 && (account.read >= most / 2 || account.unread == 0)).then_some(account.read)
    }

    /// It was told.
    pub(super) fn told(&mut self, incarnation: u64) {
        self.of(incarnation).read = 0;
        self.0.retain(|account| account.unread > 0 || account.read > 0);
    }

    /// A new incarnation takes over what the others have said that nobody has read, but for one of them, which goes on. Gives
    /// how many it may say.
    pub(super) fn inherit(&mut self, incarnation: u64, besides: Option<u64>, most: u64) -> u64 {
        let ended = self.0.extract_if(.., |account| Some(account.incarnation) != besides);
        let unread = ended.map(|account| account.unread).sum::<u64>();
        self.0.push(Account { incarnation, unread, read: 0, debt: unread.saturating_sub(most) });
        most.saturating_sub(unread)
    }

    /// Whether an incarnation has said all that it may, as far as it has come here.
    pub(super) fn has_said_all(&self, incarnation: u64, most: u64) -> bool {
        let account = self.0.iter().find(|account| account.incarnation == incarnation);
        account.is_some_and(|account| account.unread + account.read >= most.saturating_add(account.debt))
    }

    fn of(&mut self, incarnation: u64) -> &mut Account {
        let at = self.0.iter().position(|account| account.incarnation == incarnation).unwrap_or_else(|| {
            self.0.push(Account { incarnation, unread: 0, read: 0, debt: 0 });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incarnation_is_told_of_half_or_all() {
        let mut accounts = Accounts::default();
        (0..10).for_each(|_| accounts.came(1));
        assert!(accounts.has_said_all(1, 10));
        (0..4).for_each(|_| accounts.read(1));
        assert!(accounts.due(1, 10).is_none());
        assert!(accounts.has_said_all(1, 10), "it waits still: it hasn't been told");
        accounts.read(1);
        assert_eq!(accounts.due(1, 10), Some(5));
        accounts.told(1);
        assert!(!accounts.has_said_all(1, 10));
        (0..5).for_each(|_| accounts.read(1));
        assert_eq!(accounts.due(1, 100), Some(5), "all were read");
        accounts.told(1);
        assert!(accounts.0.is_empty());
    }

    #[test]
    fn what_predecessors_left_counts_and_is_paid_back_first() {
        let mut accounts = Accounts::default();
        (0..10).for_each(|_| accounts.came(1));
        (0..10).for_each(|_| accounts.came(2));
        assert_eq!(accounts.inherit(3, Some(2), 10), 0, "one goes on, with its own");
        assert_eq!(accounts.inherit(4, None, 10), 0);
        assert!(accounts.has_said_all(4, 10));
        (0..10).for_each(|_| accounts.read(4));
        assert!(accounts.has_said_all(4, 10) && accounts.due(4, 10).is_none(), "ten are still unread");
        (0..10).for_each(|_| accounts.read(4));
        assert_eq!(accounts.due(4, 10), Some(10));
    }
}
