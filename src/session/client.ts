import type { ClientInfo } from '../contract/session-store.js'
import type { Client } from './transitions.js'

/** How many bytes a session keeps of each text about its client. */
const MOST_BYTES = 255

/** What no line of text holds, and what UTF-8 cannot carry: control characters and halves of surrogate pairs. */
const UNFIT = /[\p{Cc}\p{Cs}]/gu

/**
 * A text that a client sent, as a session keeps it: cut to 255 bytes of UTF-8, between two characters, with U+FFFD for
 * each character that could spoil a log, a terminal or a database. It is not refused, as a header that is out of the
 * ordinary must keep nobody from logging in.
 */
const keptOf = (text: string | undefined): string | undefined => {
  // Each character has a byte at least, so that what comes later has no room.
  const clean = text?.slice(0, MOST_BYTES).replace(UNFIT, '\uFFFD')
  if (clean === undefined || clean === '') return undefined
  const bytes = Buffer.from(clean, 'utf8')
  if (bytes.length <= MOST_BYTES) return clean
  let end = MOST_BYTES
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return bytes.toString('utf8', 0, end)
}

/** What is recorded of a client. A text that is empty or missing is not known. */
export const clientOf = ({ address, userAgent }: ClientInfo): Client => ({
  address: keptOf(address),
  userAgent: keptOf(userAgent),
})
