import { expect, test } from 'vitest'
import { CleanUp } from '../../scripts/demo-app/clean-up.js'

test('what was started last ends first, once, and one that fails does not keep the others', async () => {
  const cleanUp = new CleanUp()
  const ended: string[] = []
  const said: string[] = []
  for (const name of ['first', 'second', 'third'])
    await cleanUp.start(
      name,
      async () => name,
      async () => {
        ended.push(name)
        if (name === 'second') throw new Error('stuck')
      },
    )
  await Promise.all([cleanUp.run((line) => said.push(line)), cleanUp.run((line) => said.push(line))])
  expect(ended).toEqual(['third', 'second', 'first'])
  expect(said).toEqual(['second did not end as it should: stuck'])
})

test('a thing whose start is under way is waited for and ended, and nothing more is started', async () => {
  const cleanUp = new CleanUp()
  const ended: string[] = []
  let started: (name: string) => void = () => undefined
  const starting = cleanUp.start(
    'slow',
    () => new Promise<string>((resolve) => (started = resolve)),
    async (name) => ended.push(name),
  )
  const running = cleanUp.run(() => undefined)
  started('slow')
  await Promise.all([starting, running])
  expect(ended).toEqual(['slow'])
  await expect(
    cleanUp.start(
      'late',
      async () => 'late',
      async () => undefined,
    ),
  ).rejects.toThrow('the demo is ending')
})
