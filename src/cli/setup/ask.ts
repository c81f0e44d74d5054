import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'

/** Asks the person at the terminal, on standard error. What is `hidden` is not shown while it is typed. */
export const ask = async (
  question: string,
  { hidden = false }: { readonly hidden?: boolean } = {},
): Promise<string> => {
  process.stderr.write(question)
  const output = new Writable({
    write(chunk, _encoding, done) {
      if (!hidden) process.stderr.write(chunk)
      done()
    },
  })
  const terminal = process.stdin.isTTY === true
  const lines = createInterface({ input: process.stdin, output, terminal })
  try {
    return await new Promise((resolve) => {
      lines.once('line', resolve)
      lines.once('close', () => resolve(''))
    })
  } finally {
    lines.close()
    if (hidden && terminal) process.stderr.write('\n')
  }
}

/** The first line of standard input; empty if there is none. */
export const firstLineOfInput = async (): Promise<string> => {
  let text = ''
  for await (const chunk of process.stdin) text += String(chunk)
  return text.split(/\r?\n/)[0] ?? ''
}
