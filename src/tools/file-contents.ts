import { readFileSync } from 'node:fs'

/**
 * The contents of a file as text, read now, and again by each call of the function: certificates are renewed under running
 * programs. While the file cannot be read, in the middle of being replaced perhaps, the function gives what it read last.
 *
 * @throws the error of Node where it cannot be read now
 */
export const fileContents = (path: string): (() => string) => {
  let contents = readFileSync(path, 'utf8')
  return () => {
    try {
      contents = readFileSync(path, 'utf8')
    } catch {
      // What was read before is the best there is.
    }
    return contents
  }
}
