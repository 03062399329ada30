package cri

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	rt "k8s.io/cri-api/pkg/apis/runtime/v1"

	"eugo.dev/devcluster/runtime/internal/images"
)

// imageServer is the image half of the CRI. An image that the file does not name is NotFound, of which
// the kubelet makes ErrImagePull and ImagePullBackOff.
type imageServer struct {
	rt.UnimplementedImageServiceServer
	s *server
}

func imageID(name string) string { return (&images.Image{Name: name}).ID() }

func imageError(err error) error {
	var unknown *images.Unknown
	if errors.As(err, &unknown) {
		return status.Error(codes.NotFound, err.Error())
	}
	return status.Error(codes.FailedPrecondition, err.Error())
}

func describe(i *images.Image) *rt.Image {
	out := &rt.Image{Id: i.ID(), RepoTags: []string{i.Name}, Size: 1, Spec: &rt.ImageSpec{Image: i.Name}}
	if i.User != nil {
		out.Uid = &rt.Int64Value{Value: *i.User}
	}
	return out
}

// ListImages lists those that were pulled.
func (s *imageServer) ListImages(_ context.Context, r *rt.ListImagesRequest) (*rt.ListImagesResponse, error) {
	all, err := s.s.images.List()
	if err != nil {
		return nil, imageError(err)
	}
	out := &rt.ListImagesResponse{}
	wanted, _ := s.s.images.Find(r.GetFilter().GetImage().GetImage())
	for _, i := range all {
		if r.GetFilter().GetImage().GetImage() == "" || i == wanted {
			out.Images = append(out.Images, describe(i))
		}
	}
	return out, nil
}

// ImageStatus describes an image, or nothing if it was not pulled.
func (s *imageServer) ImageStatus(_ context.Context, r *rt.ImageStatusRequest) (*rt.ImageStatusResponse, error) {
	i, err := s.s.images.Present(r.GetImage().GetImage())
	if err != nil {
		return nil, imageError(err)
	}
	if i == nil {
		return &rt.ImageStatusResponse{}, nil
	}
	return &rt.ImageStatusResponse{Image: describe(i)}, nil
}

// PullImage makes an image present if the file knows it.
func (s *imageServer) PullImage(_ context.Context, r *rt.PullImageRequest) (*rt.PullImageResponse, error) {
	i, err := s.s.images.Pull(r.GetImage().GetImage())
	if err != nil {
		return nil, imageError(err)
	}
	return &rt.PullImageResponse{ImageRef: i.ID()}, nil
}

// RemoveImage makes an image absent. The environment it stands for is not ours to remove.
func (s *imageServer) RemoveImage(_ context.Context, r *rt.RemoveImageRequest) (*rt.RemoveImageResponse, error) {
	s.s.images.Remove(r.GetImage().GetImage())
	return &rt.RemoveImageResponse{}, nil
}

// ImageFsInfo says where images and layers are; images take no room.
func (s *imageServer) ImageFsInfo(context.Context, *rt.ImageFsInfoRequest) (*rt.ImageFsInfoResponse, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.s.options.State, &st); err != nil {
		return nil, status.Errorf(codes.Internal, "state folder: %v", err)
	}
	usage := []*rt.FilesystemUsage{{
		Timestamp: time.Now().UnixNano(), FsId: &rt.FilesystemIdentifier{Mountpoint: s.s.options.State}, UsedBytes: &rt.UInt64Value{}, InodesUsed: &rt.UInt64Value{},
	}}
	return &rt.ImageFsInfoResponse{ImageFilesystems: usage, ContainerFilesystems: usage}, nil
}
