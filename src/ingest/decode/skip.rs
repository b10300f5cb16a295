//! Values that nobody reads: the whole grammar is checked, nothing is recorded.

use super::tokens::{Fault, KEY_COLON, Tokens};

impl Tokens<'_> {
    /// Checks the value at token `i`, inside which `depth` levels of containers are allowed.
    /// Returns the number of the token after it.
    #[inline(always)]
    pub fn skip_value(&self, i: usize, depth: u32) -> Result<usize, Fault> {
        match self.kind(i) {
            b'"' => Ok(i + 1),
            b'{' | b'[' => self.skip(i, depth),
            _ if self.is_primitive(i) => Ok(i + 1),
            _ => Err(Fault::syntax(self.position(i))),
        }
    }

    /// Checks the container that token `i` opens. Returns the number of the token after it.
    #[inline(never)]
    pub fn skip(&self, mut i: usize, depth: u32) -> Result<usize, Fault> {
        // The containers that are open, innermost in bit 0; 1 = object. There are at most 128 levels.
        let mut open: u128 = 0;
        let mut level = 0;
        'container: loop {
            // Token `i` opens a container.
            level += 1;
            if level > depth {
                return Err(Fault::depth(self.position(i)));
            }
            let mut object = self.kind(i) == b'{';
            open = open << 1 | u128::from(object);
            i += 1;
            let mut complete = self.kind(i) == closer(object);
            loop {
                if complete {
                    // Token `i` must go on with the innermost container or close it.
                    let kind = self.kind(i);
                    if kind == closer(object) {
                        i += 1;
                        level -= 1;
                        if level == 0 {
                            return Ok(i);
                        }
                        open >>= 1;
                        object = open & 1 == 1;
                        continue;
                    }
                    if kind != b',' {
                        return Err(Fault::syntax(self.position(i)));
                    }
                    i += 1;
                }
                // Token `i` is an item of the innermost container: in objects a key comes first.
                if object {
                    if self.kinds4(i) & 0xffff != KEY_COLON {
                        return Err(Fault::syntax(self.position(i)));
                    }
                    i += 2;
                }
                match self.kind(i) {
                    b'"' => {}
                    b'{' | b'[' => continue 'container,
                    _ if self.is_primitive(i) => {}
                    _ => return Err(Fault::syntax(self.position(i))),
                }
                i += 1;
                complete = true;
            }
        }
    }
}

/// The kind of token that closes a container.
#[inline(always)]
fn closer(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}
