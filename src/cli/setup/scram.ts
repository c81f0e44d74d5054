import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'

const ITERATIONS = 4096

/**
 * What Postgres stores instead of a password (RFC 5803). Made here, so that the password itself reaches neither
 * the server's log nor the text of `--print`. Good for ASCII only: beyond it clients disagree about SASLprep.
 *
 * @param salt 16 random bytes
 */
export const scramVerifier = (password: string, salt: Uint8Array): string => {
  const salted = pbkdf2Sync(password, salt, ITERATIONS, 32, 'sha256')
  const hmac = (text: string): Buffer => createHmac('sha256', salted).update(text).digest()
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest('base64')
  const saltText = Buffer.from(salt).toString('base64')
  return `SCRAM-SHA-256$${ITERATIONS}:${saltText}$${storedKey}:${hmac('Server Key').toString('base64')}`
}
