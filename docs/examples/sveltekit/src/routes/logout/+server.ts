import { json, type RequestHandler } from '@sveltejs/kit'

export const POST: RequestHandler = async ({ locals: { session } }) => {
  await session.destroy()
  return json({})
}
