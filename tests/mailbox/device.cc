// SPDX-License-Identifier: MIT
/*
 * device.c in C++: the header is all that such a device needs of us. Raises what it is asked to, and answers.
 */
#include <cstdlib>

#include <vmirq/mailbox_client.h>

namespace
{

class device
{
      public:
	explicit device(int socket) : error_(vmirq_mailbox_client_receive(socket, &client_))
	{
	}
	~device()
	{
		vmirq_mailbox_client_detach(&client_);
	}
	device(const device &) = delete;
	device &operator=(const device &) = delete;

	int error() const
	{
		return error_;
	}
	int32_t raise(uint32_t i)
	{
		return vmirq_mailbox_client_raise(&client_, i);
	}

      private:
	vmirq_mailbox_client client_{};
	int error_;
};

} // namespace

int main(int argc, char **argv)
{
	const int socket = argc > 1 ? std::atoi(argv[1]) : 0;
	device d{ socket };
	uint32_t i;

	if (d.error())
		return 1;
	while (read(socket, &i, sizeof(i)) == static_cast<ssize_t>(sizeof(i))) {
		const auto raised = d.raise(i);

		if (write(socket, &raised, sizeof(raised)) < 0)
			break;
	}
	return 0;
}
